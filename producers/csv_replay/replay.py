"""Replay of CSV files: hours and zones first, then the polls in batches of one store."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

from producers.csv_replay.file_format import printed, same_file
from producers.csv_replay.open_file import Table
from producers.csv_replay.poll_batches import batches, due_count, join_polls
from producers.csv_replay.poll_rows import PollChunk, StoreNumbers, read_polls
from producers.csv_replay.rejected_rows import Refusals
from producers.csv_replay.retention import OldPolls
from producers.csv_replay.store_rows import Registry, RegistryChunk, read_hours, read_zones
from producers.csv_replay.summary import Summary, nothing_of, old_poll_warnings, registry_warnings
from producers.csv_replay.table import HOURS, POLLS, ZONES
from producers.record_sink import RecordSink
from stream_app.contracts.access import Process
from stream_app.contracts.business_hours import encode_hours
from stream_app.contracts.polls import encode_poll_batch
from stream_app.contracts.stores import encode_zone
from stream_app.contracts.topics import STORE_BUSINESS_HOURS, STORE_STATUS, STORE_TIMEZONES
from stream_app.errors import StoreUptimeError
from stream_app.kafka.admin import ensure_topics
from stream_app.kafka.bootstrap import resolve_bootstrap

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence
    from pathlib import Path

    import polars as pl

    from producers.csv_replay.progress_view import View
    from producers.csv_replay.table import Refused
    from stream_app.settings import Settings

Chunk = TypeVar("Chunk", PollChunk, RegistryChunk)

WINDOW_POLLS: Final = 4_000_000
"""Polls that are grouped by store at a time: 13 bytes each, and a few times that while sorting."""

MAX_PACED_POLLS: Final = 20_000_000
"""Polls that a paced replay holds, since it sends them in the order of their times."""

MAX_HELD_REFUSALS: Final = 1_000
"""Refused rows of hours and zones that wait until what was good is sent, at 64 kB the most."""

TICK_SECONDS: Final = 0.1
"""A paced replay sends what has become due this often."""


@dataclass(frozen=True, slots=True)
class ReplayFiles:
    """The files of a replay, in the order in which they are read.

    Attributes:
        notes: lines about the choice of these files.
    """

    status: Sequence[Path] = ()
    hours: Sequence[Path] = ()
    zones: Sequence[Path] = ()
    notes: Sequence[str] = ()

    def missing(self) -> Iterator[str]:
        """The kinds of which there is no file, where that is worth a word."""
        if not self.status:
            yield POLLS.name
        else:
            # hours or zones may well be sent alone, polls hardly
            for kind, paths in ((HOURS, self.hours), (ZONES, self.zones)):
                if not paths:
                    yield kind.name


async def replay_files(
    files: ReplayFiles,
    settings: Settings,
    *,
    view: View,
    summary: Summary,
    clock: Callable[[], int],
    speed: float = 0.0,
    rejects: Path | None = None,
) -> None:
    """Send all good rows of the files and wait until the brokers have acknowledged them.

    Args:
        files: what to send.
        settings: of the service; a broker is looked for where they name none.
        view: is told how far it is.
        summary: is kept up to date, also when this is cancelled or fails.
        clock: the wall clock, µs since the epoch.
        speed: 0: as fast as it goes; else seconds of event time a second.
        rejects: CSV file for the refused rows.

    Raises:
        StoreUptimeError: a file cannot be read (all headers are looked at before anything is
            sent), or the brokers are out of reach.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    paths = (*files.hours, *files.zones, *files.status)
    if rejects is not None and any(same_file(rejects, path) for path in paths):
        raise StoreUptimeError(
            f"{printed(rejects)}: is one of the files to send: name another one for refused rows"
        )
    with ExitStack() as opened:
        # the view last, so that what is shown at the end is shown within it
        opened.enter_context(view)
        for note in files.notes:
            view.note(note)
        for kind in files.missing():
            _say_nothing_of(kind, settings, view, summary)
        hours, zones, polls = (
            [opened.enter_context(closing(Table(path, kind))) for path in paths]
            for kind, paths in ((HOURS, files.hours), (ZONES, files.zones), (POLLS, files.status))
        )
        refusals = opened.enter_context(Refusals(rejects, view.note))
        try:
            settings = resolve_bootstrap(settings)
            await ensure_topics(settings, Process.REPLAY)
            async with RecordSink(settings) as sink:
                summary.topics = sink.counts
                run = _Run(settings, view, summary, clock, refusals, sink)
                await run.send_registry(hours, zones)
                await run.send_polls(polls, speed)
        except asyncio.CancelledError:
            summary.interrupted = True
            raise
        finally:
            summary.seconds = loop.time() - began


def _say_nothing_of(kind: str, settings: Settings, view: View, summary: Summary) -> None:
    """Say at once and at the end what it comes to that there is no row of a kind."""
    note = nothing_of(kind, settings.default_timezone)
    view.note(note)
    summary.notes.append(note)


@dataclass(slots=True)
class _Run:
    settings: Settings
    view: View
    summary: Summary
    clock: Callable[[], int]
    refusals: Refusals
    sink: RecordSink
    held: list[Refused] = field(default_factory=list)

    async def send_registry(self, hours: Sequence[Table], zones: Sequence[Table]) -> None:
        """Send the hours of each store as one record, and its zone as one."""
        registry = Registry()
        for tables, read in ((hours, read_hours), (zones, read_zones)):
            for table in tables:
                async for chunk in self._chunks(table, read(table, registry)):
                    count = self.summary.kinds[table.kind.name]
                    count.rows += chunk.accepted + chunk.duplicates
                    count.duplicates += chunk.duplicates
                    await self._hold(chunk.refused)
        for kind in (HOURS, ZONES):
            count = self.summary.kinds[kind.name]
            if count.files and not count.rows:
                _say_nothing_of(kind.name, self.settings, self.view, self.summary)
        self.summary.without_hours = list(registry.without_hours())
        for warning in registry_warnings(registry, self.settings.default_timezone):
            self.view.note(warning)
        for store_id, rows in registry.hours.items():
            value = encode_hours(store_id, list(rows))
            await self.sink.send(STORE_BUSINESS_HOURS, store_id.encode(), value, rows=len(rows))
        for store_id, name in registry.zones.items():
            await self.sink.send(STORE_TIMEZONES, store_id.encode(), encode_zone(store_id, name))
        # polls may name stores for the first time: their hours and zones are there by then
        await self.sink.drain()
        # Dead letters younger than the records of their run: what `dead-letters replay` finds
        # older than a letter is what the letter adds to.
        await self._release()

    async def _hold(self, refused: Sequence[Refused]) -> None:
        self.held += refused
        if len(self.held) > MAX_HELD_REFUSALS:
            await self._release()

    async def _release(self) -> None:
        await self.refusals.keep(self.held, self.sink)
        self.held.clear()

    async def send_polls(self, tables: Sequence[Table], speed: float) -> None:
        """Send the polls, grouped over windows of many or paced by their times."""
        stores = StoreNumbers()
        old = OldPolls(self.settings.retention)
        window: list[pl.DataFrame] = []
        held = 0
        for table in tables:
            async for chunk in self._chunks(
                table, read_polls(table, stores, self._latest, self.settings.earliest_poll)
            ):
                await self.refusals.keep(chunk.refused, self.sink)
                self.summary.kinds[table.kind.name].rows += chunk.accepted.height
                window.append(chunk.accepted)
                held += chunk.accepted.height
                if speed and held > MAX_PACED_POLLS:
                    raise StoreUptimeError(
                        f"a paced replay holds {MAX_PACED_POLLS:,} polls at the most: "
                        "give it fewer, or leave --speed out"
                    )
                if not speed and held >= WINDOW_POLLS:
                    await self._send_grouped(await self._join(window, old), stores)
                    window.clear()
                    held = 0
        polls = await self._join(window, old)
        window.clear()
        if speed:
            await self._send_paced(polls, stores, speed)
        else:
            await self._send_grouped(polls, stores)
        for warning in old_poll_warnings(old.counts(stores.ids), self.settings.retention):
            self.view.note(warning)

    def _latest(self) -> int:
        return self.clock() + self.settings.future_tolerance

    async def _join(self, window: Sequence[pl.DataFrame], old: OldPolls) -> pl.DataFrame:
        polls = await asyncio.to_thread(join_polls, window)
        await asyncio.to_thread(old.add, polls)
        repeated = sum(frame.height for frame in window) - polls.height
        self.summary.kinds[POLLS.name].duplicates += repeated
        return polls

    async def _send_grouped(self, polls: pl.DataFrame, stores: StoreNumbers) -> None:
        if polls.is_empty():
            return
        self.view.start(f"sending {polls.height:,} polls", polls.height)
        sent = 0
        for store_id, batch in batches(polls, stores.ids):
            value = encode_poll_batch(store_id, batch)
            await self.sink.send(STORE_STATUS, store_id.encode(), value, rows=len(batch))
            sent += len(batch)
            self.view.advance(sent)
        await self.sink.drain()

    async def _send_paced(self, polls: pl.DataFrame, stores: StoreNumbers, speed: float) -> None:
        polls = polls.sort("instant")
        self.view.start(
            f"sending {polls.height:,} polls at {speed:g} times their pace", polls.height
        )
        loop = asyncio.get_running_loop()
        began = loop.time()
        sent = 0
        while sent < polls.height:
            due = due_count(polls["instant"], loop.time() - began, speed)
            slice_by_store = polls.slice(sent, due - sent).sort("store", "instant", "active")
            for store_id, batch in batches(slice_by_store, stores.ids):
                value = encode_poll_batch(store_id, batch)
                await self.sink.send(STORE_STATUS, store_id.encode(), value, rows=len(batch))
            sent = due
            self.view.advance(sent)
            if sent < polls.height:
                await asyncio.sleep(TICK_SECONDS)
        await self.sink.drain()

    async def _chunks(self, table: Table, chunks: Iterator[Chunk]) -> AsyncIterator[Chunk]:
        """The chunks of a file, read in a thread; their refused rows are counted."""
        count = self.summary.kinds[table.kind.name]
        count.files += 1
        rows_before, refused_before = count.rows, count.refused
        self.view.start(f"reading {table.name}", table.file.size)
        while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
            count.rows += len(chunk.refused)
            count.refused += len(chunk.refused)
            yield chunk
            self.view.advance(table.file.position())
        rows = count.rows - rows_before
        if not rows:
            self.view.note(f"{table.name}: no rows")
        elif count.refused - refused_before == rows:
            self.summary.refused_whole.append(table.name)
