"""Replays CSV files: business hours and timezones first, then the polls in batches of a store."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

from producers.csv_replay.file_format import printed, same_file
from producers.csv_replay.open_file import Table
from producers.csv_replay.poll_batches import batches, due_count, join_polls
from producers.csv_replay.poll_rows import PollChunk, StoreNumbers, read_polls
from producers.csv_replay.rejected_rows import RejectedRows
from producers.csv_replay.retention import OldPolls
from producers.csv_replay.store_rows import StoreRows, StoreRowsChunk, read_hours, read_timezones
from producers.csv_replay.summary import (
    Summary,
    old_poll_warnings,
    store_row_warnings,
    without_rows,
)
from producers.csv_replay.table import HOURS, POLLS, ZONES
from producers.record_sink import RecordSink
from stream_app.contracts.access import Process
from stream_app.contracts.business_hours import encode_hours
from stream_app.contracts.polls import encode_poll_batch
from stream_app.contracts.stores import encode_timezone
from stream_app.contracts.topics import STORE_BUSINESS_HOURS, STORE_STATUS, STORE_TIMEZONES
from stream_app.errors import StoreUptimeError
from stream_app.kafka.admin import ensure_topics
from stream_app.kafka.bootstrap import resolve_bootstrap

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence
    from pathlib import Path

    import polars as pl

    from producers.csv_replay.progress_view import View
    from producers.csv_replay.table import RejectedRow
    from stream_app.settings import Settings

Chunk = TypeVar("Chunk", PollChunk, StoreRowsChunk)

WINDOW_POLLS: Final = 4_000_000
"""Polls that are grouped by store at a time: 13 bytes each, some times more while sorting."""

MAX_PACED_POLLS: Final = 20_000_000
"""Most polls of a paced replay, which holds all of them to send them in the order of time."""

MAX_DEFERRED_ROWS: Final = 1_000
"""Most rejected rows (64 kB each at most) of hours and timezones that wait for the good ones."""

TICK_SECONDS: Final = 0.1
"""Seconds between two sends of the polls that have become due in a paced replay."""


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
        """Yield the kinds without a file that the user should know of."""
        if not self.status:
            yield POLLS.name
        else:
            # hours or timezones may be sent alone, polls hardly ever
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
        files: the files to send.
        settings: settings of the service; without a broker in them, a local one is looked for.
        view: shows the progress.
        summary: the summary, which is updated while this runs, also if it is cancelled or fails.
        clock: the wall clock, µs since the epoch.
        speed: seconds of event time for each second; 0 for as fast as possible.
        rejects: CSV file for the rejected rows.

    Raises:
        StoreUptimeError: a file cannot be read (all headers are read before anything is sent),
            or the brokers are out of reach.
    """
    loop = asyncio.get_running_loop()
    started = loop.time()
    paths = (*files.hours, *files.zones, *files.status)
    if rejects is not None and any(same_file(rejects, path) for path in paths):
        raise StoreUptimeError(
            f"{printed(rejects)}: is one of the files to send: name another one for refused rows"
        )
    with ExitStack() as stack:
        # the view leaves last, so that the lines of the end are shown within it
        stack.enter_context(view)
        for note in files.notes:
            view.print_line(note)
        for kind in files.missing():
            _report_missing(kind, settings, view, summary)
        hours, zones, polls = (
            [stack.enter_context(closing(Table(path, kind))) for path in paths]
            for kind, paths in ((HOURS, files.hours), (ZONES, files.zones), (POLLS, files.status))
        )
        rejected_rows = stack.enter_context(RejectedRows(rejects, view.print_line))
        try:
            settings = resolve_bootstrap(settings)
            await ensure_topics(settings, Process.REPLAY)
            async with RecordSink(settings) as sink:
                summary.topics = sink.counts
                run = _Run(settings, view, summary, clock, rejected_rows, sink)
                await run.send_store_rows(hours, zones)
                await run.send_polls(polls, speed)
        except asyncio.CancelledError:
            summary.interrupted = True
            raise
        finally:
            summary.seconds = loop.time() - started


def _report_missing(kind: str, settings: Settings, view: View, summary: Summary) -> None:
    """Say now and in the summary what follows from the absence of a kind of rows."""
    note = without_rows(kind, settings.default_timezone)
    view.print_line(note)
    summary.notes.append(note)


@dataclass(slots=True)
class _Run:
    settings: Settings
    view: View
    summary: Summary
    clock: Callable[[], int]
    rejected_rows: RejectedRows
    sink: RecordSink
    deferred: list[RejectedRow] = field(default_factory=list, init=False)

    async def send_store_rows(self, hours: Sequence[Table], zones: Sequence[Table]) -> None:
        """Send the business hours of each store as one record, and its timezone as one."""
        store_rows = StoreRows()
        for tables, read in ((hours, read_hours), (zones, read_timezones)):
            for table in tables:
                async for chunk in self._chunks(table, read(table, store_rows)):
                    count = self.summary.kinds[table.kind.name]
                    count.rows += chunk.accepted + chunk.duplicates
                    count.duplicates += chunk.duplicates
                    await self._defer(chunk.rejected)
        for kind in (HOURS, ZONES):
            count = self.summary.kinds[kind.name]
            if count.files and not count.rows:
                _report_missing(kind.name, self.settings, self.view, self.summary)
        self.summary.without_hours = list(store_rows.without_hours())
        for warning in store_row_warnings(store_rows, self.settings.default_timezone):
            self.view.print_line(warning)
        for store_id, rows in store_rows.hours.items():
            value = encode_hours(store_id, rows)
            await self.sink.send(STORE_BUSINESS_HOURS, store_id.encode(), value, rows=len(rows))
        for store_id, name in store_rows.timezones.items():
            await self.sink.send(
                STORE_TIMEZONES, store_id.encode(), encode_timezone(store_id, name)
            )
        # a poll can be the first record of a store: its hours and timezone arrive before
        await self.sink.drain()
        # The dead letters are younger than the records of the same replay: so `dead-letters replay`
        # adds a row to these records, and does not take them for newer ones.
        await self._write_deferred()

    async def _defer(self, rejected: Sequence[RejectedRow]) -> None:
        self.deferred += rejected
        if len(self.deferred) > MAX_DEFERRED_ROWS:
            await self._write_deferred()

    async def _write_deferred(self) -> None:
        await self.rejected_rows.write(self.deferred, self.sink)
        self.deferred.clear()

    async def send_polls(self, tables: Sequence[Table], speed: float) -> None:
        """Send the polls: grouped by store, a window of them at a time, or paced by their times."""
        stores = StoreNumbers()
        old = OldPolls(self.settings.retention)
        window: list[pl.DataFrame] = []
        polls_in_window = 0
        for table in tables:
            async for chunk in self._chunks(
                table, read_polls(table, stores, self._latest, self.settings.earliest_poll)
            ):
                await self.rejected_rows.write(chunk.rejected, self.sink)
                self.summary.kinds[table.kind.name].rows += chunk.accepted.height
                window.append(chunk.accepted)
                polls_in_window += chunk.accepted.height
                if speed and polls_in_window > MAX_PACED_POLLS:
                    raise StoreUptimeError(
                        f"a paced replay holds {MAX_PACED_POLLS:,} polls at the most: "
                        "give it fewer, or leave --speed out"
                    )
                if not speed and polls_in_window >= WINDOW_POLLS:
                    await self._send_grouped(await self._join(window, old), stores)
                    window.clear()
                    polls_in_window = 0
        polls = await self._join(window, old)
        window.clear()
        if speed:
            await self._send_paced(polls, stores, speed)
        else:
            await self._send_grouped(polls, stores)
        for warning in old_poll_warnings(old.counts(stores.ids), self.settings.retention):
            self.view.print_line(warning)

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
        started = loop.time()
        sent = 0
        while sent < polls.height:
            due = due_count(polls["instant"], loop.time() - started, speed)
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
        """Yield the chunks of a file, which a thread reads; count their rejected rows."""
        count = self.summary.kinds[table.kind.name]
        count.files += 1
        rows_before, rejected_before = count.rows, count.rejected
        self.view.start(f"reading {table.name}", table.file.size)
        while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
            count.rows += len(chunk.rejected)
            count.rejected += len(chunk.rejected)
            yield chunk
            self.view.advance(table.file.position())
        rows = count.rows - rows_before
        if not rows:
            self.view.print_line(f"{table.name}: no rows")
        elif count.rejected - rejected_before == rows:
            self.summary.rejected_files.append(table.name)
