"""Replays CSV files: business hours and timezones first, then the polls in batches of a store."""

from __future__ import annotations

import asyncio
import threading
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from producers.csv_replay.file_format import printed, same_file
from producers.csv_replay.open_file import Table
from producers.csv_replay.poll_batches import (
    batches,
    due_count,
    join_part,
    join_polls,
    pack,
    part_count,
)
from producers.csv_replay.poll_rows import PollChunk, StoreNumbers, read_polls
from producers.csv_replay.read_ahead import ReadAhead
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
    from producers.csv_replay.table import Kind, RejectedRow
    from stream_app.settings import Settings

Chunk = TypeVar("Chunk", PollChunk, StoreRowsChunk)

WINDOW_POLLS: Final = 4_000_000
"""Polls that are grouped by store at a time: 12 bytes each, several times more in a sort."""

MAX_PACED_POLLS: Final = 20_000_000
"""Most polls of a paced replay, which holds all of them to send them in the order of time."""

MAX_BYTES_AHEAD: Final = 32 << 20
"""Bytes of polls (13 each) and of rejected rows that are read before they are requested."""

ROW_BYTES: Final = 500
"""Bytes that a rejected row takes in memory besides its original."""

PROGRESS_POLLS: Final = 20_000
"""Polls between two updates of the progress: a terminal is slower than sending them."""

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
            f"{printed(rejects)}: is one of the files to send: name another one for rejected rows"
        )
    with ExitStack() as stack:
        # the view is closed last, so that it shows the last lines too
        stack.enter_context(view)
        for note in files.notes:
            view.print_line(note)
        for kind in files.missing():
            _report_missing(kind, settings, view, summary)
        stop = threading.Event()
        hours, zones, polls = [
            [stack.enter_context(closing(await _open(path, kind, stop))) for path in paths]
            for kind, paths in ((HOURS, files.hours), (ZONES, files.zones), (POLLS, files.status))
        ]
        rejected_rows = stack.enter_context(RejectedRows(rejects, view.print_line))
        source = _Input(hours, zones, polls, settings, clock)
        try:
            async with source.store_chunks, source.poll_chunks:
                try:
                    settings = resolve_bootstrap(settings)
                    await ensure_topics(settings, Process.REPLAY)
                    async with RecordSink(settings) as sink:
                        summary.topics = sink.counts
                        run = _Run(settings, view, summary, rejected_rows, sink)
                        await run.send_store_rows(source)
                        await run.send_polls(source, speed)
                finally:
                    # the threads that read are waited for next
                    stop.set()
        except asyncio.CancelledError:
            summary.interrupted = True
            raise
        finally:
            summary.seconds = loop.time() - started


async def _open(path: Path, kind: Kind, stop: threading.Event) -> Table:
    """Open a file in a thread, because a pipe may stay silent before its header."""
    opening = asyncio.ensure_future(asyncio.to_thread(Table, path, kind, stop))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait([opening])
        if opening.exception() is None:
            opening.result().close()
        raise


def _report_missing(kind: str, settings: Settings, view: View, summary: Summary) -> None:
    """Print the effect of a missing kind of rows, and add it to the summary."""
    note = without_rows(kind, settings.default_timezone)
    view.print_line(note)
    summary.notes.append(note)


class _Input:
    """The rows of the files, which threads read while the brokers are looked for and sent to.

    Attributes:
        store_tables: the files of hours and of timezones.
        store_rows: the rows of these files, complete once all their chunks are read.
        store_chunks: the chunks of these files.
        poll_tables: the files of polls.
        stores: the number of each store in the chunks of polls.
        poll_chunks: the chunks of these files.
    """

    def __init__(
        self,
        hours: Sequence[Table],
        zones: Sequence[Table],
        polls: Sequence[Table],
        settings: Settings,
        clock: Callable[[], int],
    ) -> None:
        def latest() -> int:
            return clock() + settings.future_tolerance

        self.store_tables = [*hours, *zones]
        self.store_rows = StoreRows()
        self.store_chunks = ReadAhead(
            [
                *(read_hours(table, self.store_rows) for table in hours),
                *(read_timezones(table, self.store_rows) for table in zones),
            ],
            lambda chunk: _bytes_of(chunk.rejected),
            MAX_BYTES_AHEAD,
        )
        self.poll_tables = polls
        self.stores = StoreNumbers()
        self.poll_chunks = ReadAhead(
            [read_polls(table, self.stores, latest, settings.earliest_poll) for table in polls],
            lambda chunk: int(chunk.accepted.estimated_size()) + _bytes_of(chunk.rejected),
            MAX_BYTES_AHEAD,
        )


def _bytes_of(rows: Sequence[RejectedRow]) -> int:
    return sum(ROW_BYTES + len(row.original) for row in rows)


@dataclass(slots=True)
class _Run:
    settings: Settings
    view: View
    summary: Summary
    rejected_rows: RejectedRows
    sink: RecordSink
    deferred: list[RejectedRow] = field(default_factory=list, init=False)

    async def send_store_rows(self, source: _Input) -> None:
        """Send the business hours of each store as one record, and its timezone as one."""
        store_rows = source.store_rows
        for number, table in enumerate(source.store_tables):
            async for chunk in self._chunks(table, source.store_chunks.chunks(number)):
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
        # a store must not be known by a poll alone: its hours and timezone arrive before
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

    async def send_polls(self, source: _Input, speed: float) -> None:
        """Send the polls: grouped by store, a window of them at a time, or paced by their times."""
        stores = source.stores
        old_polls = OldPolls(self.settings.retention)
        window: list[pl.DataFrame] = []
        polls_in_window = 0
        for number, table in enumerate(source.poll_tables):
            async for chunk in self._chunks(table, source.poll_chunks.chunks(number)):
                await self.rejected_rows.write(chunk.rejected, self.sink)
                self.summary.kinds[table.kind.name].rows += chunk.accepted.height
                window.append(pack(chunk.accepted))
                polls_in_window += chunk.accepted.height
                if speed and polls_in_window > MAX_PACED_POLLS:
                    raise StoreUptimeError(
                        f"a replay with --speed can hold {MAX_PACED_POLLS:,} polls: send fewer, "
                        "or leave --speed out"
                    )
                if not speed and polls_in_window >= WINDOW_POLLS:
                    await self._send_grouped(window, old_polls, stores)
                    window.clear()
                    polls_in_window = 0
        if speed:
            polls = await self._join(join_polls, window, old_polls)
            self.summary.kinds[POLLS.name].duplicates += polls_in_window - polls.height
            window.clear()
            await self._send_paced(polls, stores, speed)
        else:
            await self._send_grouped(window, old_polls, stores)
        for warning in old_poll_warnings(old_polls.counts(stores.ids), self.settings.retention):
            self.view.print_line(warning)

    async def _join(
        self,
        join: Callable[[Sequence[pl.DataFrame]], pl.DataFrame],
        window: Sequence[pl.DataFrame],
        old_polls: OldPolls,
    ) -> pl.DataFrame:
        polls = await asyncio.to_thread(join, window)
        await asyncio.to_thread(old_polls.add, polls)
        return polls

    async def _send_grouped(
        self, window: Sequence[pl.DataFrame], old_polls: OldPolls, stores: StoreNumbers
    ) -> None:
        """Send the polls of a window by store: a part is sent while the next one is joined."""
        rows = sum(frame.height for frame in window)
        if not rows:
            return

        def join(part: int) -> asyncio.Task[pl.DataFrame]:
            return asyncio.create_task(
                self._join(partial(join_part, part=part, parts=parts), window, old_polls)
            )

        parts = part_count(rows)
        self.view.start(f"sending {rows:,} polls", rows)
        sent = 0
        joining = join(0)
        try:
            for next_part in range(1, parts + 1):
                polls = await joining
                if next_part < parts:
                    joining = join(next_part)
                await self._send_batches(polls, stores, sent)
                sent += polls.height
            await self.sink.drain()
        finally:
            joining.cancel()
        self.summary.kinds[POLLS.name].duplicates += rows - sent
        self.view.advance(rows)

    async def _send_batches(self, polls: pl.DataFrame, stores: StoreNumbers, sent: int) -> None:
        shown = sent
        for store_id, value, count in batches(polls, stores.ids):
            await self.sink.send(STORE_STATUS, store_id.encode(), value, rows=count)
            sent += count
            if sent - shown >= PROGRESS_POLLS:
                self.view.advance(sent)
                shown = sent
        self.view.advance(sent)

    async def _send_paced(self, polls: pl.DataFrame, stores: StoreNumbers, speed: float) -> None:
        polls = polls.sort("poll")
        self.view.start(
            f"sending {polls.height:,} polls at {speed:g} times their pace", polls.height
        )
        loop = asyncio.get_running_loop()
        started = loop.time()
        sent = 0
        while sent < polls.height:
            due = due_count(polls["poll"], loop.time() - started, speed)
            by_store = polls.slice(sent, due - sent).sort("store", "poll")
            await self._send_batches(by_store, stores, sent)
            sent = due
            if sent < polls.height:
                await asyncio.sleep(TICK_SECONDS)
        await self.sink.drain()

    async def _chunks(self, table: Table, chunks: AsyncIterator[Chunk]) -> AsyncIterator[Chunk]:
        """Yield the chunks of a file, and count their rejected rows."""
        count = self.summary.kinds[table.kind.name]
        count.files += 1
        rows_before, rejected_before = count.rows, count.rejected
        self.view.start(f"reading {table.name}", table.file.size)
        async for chunk in chunks:
            count.rows += len(chunk.rejected)
            count.rejected += len(chunk.rejected)
            yield chunk
            self.view.advance(table.file.position())
        rows = count.rows - rows_before
        if not rows:
            self.view.print_line(f"{table.name}: no rows")
        elif count.rejected - rejected_before == rows:
            self.summary.rejected_files.append(table.name)
