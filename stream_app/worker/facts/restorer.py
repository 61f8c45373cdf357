"""Brings a partition's database up to an offset of its changelog.

The restore goes from the database's checkpoint to the end in whole fetched batches. Each fetch
is written together with the checkpoint that it reaches, so a restore that is cut off at any
instant goes on there. Every offset on the way is accounted for: a record at it was read, or the
log itself has none there. Only then is a database said to be restored.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from aiokafka.errors import OffsetOutOfRangeError

from stream_app.errors import BrokerUnavailableError, TableError
from stream_app.kafka.log_reader import FETCH_BYTES
from stream_app.worker.facts.database import START, checkpoint_after, record_digest
from stream_app.worker.facts.keys import why_stray

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_app.kafka.log_reader import FetchedLog
    from stream_app.worker.facts.database import FactsDatabase

log = logging.getLogger(__name__)

STALL_SECONDS: Final = 30.0
"""Seconds without progress, from brokers that answer, after which a restore has failed."""

_RETRY_SECONDS: Final = 0.2
_IDLE_SECONDS: Final = 0.1
"""Pause of a standby that has read all there is."""

_MAX_STRAY_LINES: Final = 20
"""Stray records of one restore that are named in the log; the others are counted."""


class Log(Protocol):
    """The changelog, read by offsets."""

    async def fetch(
        self,
        topic: str,
        partition: int,
        offset: int,
        *,
        max_bytes: int = FETCH_BYTES,
    ) -> FetchedLog:
        """Return the batches from an offset on."""

    async def beginning(self, topic: str, partition: int) -> int:
        """Return the first offset that the log still has."""

    async def end(self, topic: str, partition: int) -> int:
        """Return the offset behind the last record that may be read now."""


@dataclass(slots=True)
class RestoreProgress:
    """The progress of a restore, in changelog offsets.

    Attributes:
        start: the checkpoint at which it began.
        position: the offset that it has reached.
        end: the offset at which it is done.
    """

    start: int
    position: int
    end: int

    @property
    def done(self) -> int:
        """Return the number of offsets that are read."""
        return self.position - self.start

    @property
    def to_do(self) -> int:
        """Return the number of offsets that are still to read."""
        return max(0, self.end - self.position)


class Restorer:
    """Restores one partition's database; at most one call may run at a time.

    Args:
        database: the local database.
        topic: the changelog's name.
        log_reader: reads the changelog.
        fetch_slots: how many partitions may hold a fetched answer in memory at once.
        on_unread: called for each record or batch of the changelog that cannot be used.

    Attributes:
        progress: the progress of the present or last restore; None before the first one.
    """

    def __init__(
        self,
        database: FactsDatabase,
        topic: str,
        log_reader: Log,
        fetch_slots: asyncio.Semaphore,
        on_unread: Callable[[], None],
    ) -> None:
        self._database = database
        self._partition = database.partition
        self._topic = topic
        self._log = log_reader
        self._fetch_slots = fetch_slots
        self._on_unread = on_unread
        self._strays = 0
        self._records = 0
        self._empty_offsets = 0
        self.progress: RestoreProgress | None = None
        self._lost_ranges: list[tuple[int, int]] = []

    async def restore(self, end: int) -> None:
        """Read the changelog up to an offset, from the database's checkpoint on.

        Args:
            end: the offset behind the claim; all records below it are final.

        Raises:
            TableError: the database fails, or the restore stands still.
        """
        # a changelog that holds the claim alone has nothing to read back
        if end > 1 and self._database.checkpoint == START:
            log.info(
                "no database of partition %d here: it is read back from the changelog",
                self._partition,
            )
        await self._verify(end)
        if not await self._read_to(end):
            log.error(
                "partition %d: offsets of its changelog are unaccounted for: it is restored from "
                "the beginning",
                self._partition,
            )
            self._database.remove(
                "does not account for every offset of its changelog", "incomplete"
            )
            if not await self._read_to(end):
                raise TableError(
                    f"partition {self._partition}: its changelog cannot be read offset by offset"
                )

    def pop_lost_ranges(self) -> list[tuple[int, int]]:
        """Return the ranges `[first, end)` that the log deleted unread, and forget them."""
        lost, self._lost_ranges = self._lost_ranges, []
        return lost

    async def follow(self) -> None:
        """Keep the database up to date with its changelog until cancelled (a warm standby).

        Raises:
            TableError: the database fails.
        """
        await self._verify(await self._retry(lambda: self._log.end(self._topic, self._partition)))
        while True:
            position = self._database.checkpoint.next_offset
            self.progress = RestoreProgress(position, position, position)
            try:
                fetched = await self._fetch(position)
            except OffsetOutOfRangeError:
                await self._retry(lambda at=position: self._follow_from_elsewhere(at))  # type: ignore[misc]
                continue
            except BrokerUnavailableError:
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            self.progress.end = fetched.end
            self._apply(fetched, fetched.end)
            idle = self._database.checkpoint.next_offset == position
            await asyncio.sleep(_IDLE_SECONDS if idle else 0)

    async def _follow_from_elsewhere(self, position: int) -> None:
        """Go on where the log begins, or anew where it ends before the database."""
        beginning = await self._log.beginning(self._topic, self._partition)
        if beginning > position:
            await self._step_over_deleted(position, beginning)
        else:
            self._database.remove("is not a part of its changelog", "ahead")

    async def _verify(self, end: int) -> None:
        """Remove the database if it is not a prefix of the changelog below `end`.

        A broker that was put back from a backup writes other records at the offsets that it lost.
        """
        checkpoint = self._database.checkpoint
        if checkpoint == START:
            return
        if checkpoint.next_offset > end:
            self._database.remove(
                f"is ahead of its changelog (at {checkpoint.next_offset}, the log at {end})",
                "ahead",
            )
            return
        if checkpoint.last_offset < 0:
            return
        offset = checkpoint.last_offset
        try:
            fetched = await self._retry(lambda: self._fetch(offset, max_bytes=1))
        except OffsetOutOfRangeError:
            fetched = None
        for batch in fetched.batches if fetched is not None else ():
            for record in batch.records:
                if record.offset == offset:
                    if record_digest(record.key, record.value) == checkpoint.digest:
                        return
                    break
        self._database.remove(f"is not of this changelog (at offset {offset})", "diverged")

    async def _read_to(self, end: int) -> bool:
        """Read and write up to `end`; False if some offset is unaccounted for."""
        start = self._database.checkpoint.next_offset
        self.progress = RestoreProgress(start, start, end)
        self._records = self._empty_offsets = 0
        clock = asyncio.get_running_loop().time
        moved = clock()
        while (position := self._database.checkpoint.next_offset) < end:
            async with self._fetch_slots:
                try:
                    fetched = await self._fetch(position)
                except BrokerUnavailableError:
                    # the brokers are away: nothing is wrong with the restore
                    moved = clock()
                except OffsetOutOfRangeError:
                    await self._retry(lambda at=position: self._step_over_deleted(at, end))  # type: ignore[misc]
                    moved = clock()
                    continue
                else:
                    self._apply(fetched, end)
            if self._database.checkpoint.next_offset > position:
                moved = clock()
                # other partitions and requests to this process come first
                await asyncio.sleep(0)
                continue
            if clock() - moved > STALL_SECONDS:
                raise TableError(
                    f"the restore of partition {self._partition} stands still: it is at changelog "
                    f"offset {position} and goes to {end}"
                )
            await asyncio.sleep(_RETRY_SECONDS)
        if end - start > 1:
            log.info(
                "partition %d is restored from changelog offset %d to %d: %d records, %d offsets "
                "without one",
                self._partition,
                start,
                end,
                self._records,
                self._empty_offsets,
            )
        return self._records + self._empty_offsets == end - start

    def _apply(self, fetched: FetchedLog, end: int) -> None:
        """Write the fetched records below `end`, and the checkpoint that they reach."""
        checkpoint = self._database.checkpoint
        position = checkpoint.next_offset
        entries: dict[bytes, bytes | None] = {}
        last: Any = None
        for batch in fetched.batches:
            if batch.next_offset <= position or position >= end:
                continue
            if batch.error is not None:
                self._log_unreadable(position, batch.next_offset - 1, batch.error)
            for record in batch.records:
                if record.offset < position:
                    continue
                if record.offset >= end:
                    break
                # the offsets between are in no batch, or their records were compacted away
                self._empty_offsets += record.offset - position
                self._records += 1
                position = record.offset + 1
                last = record
                why = why_stray(record.key, record.value)
                if why is None:
                    entries[record.key] = record.value
                else:
                    self._log_unreadable(record.offset, record.offset, why)
            batch_end = min(batch.next_offset, end)
            self._empty_offsets += batch_end - position
            position = batch_end
        if position == checkpoint.next_offset:
            return
        if last is not None:
            checkpoint = checkpoint_after(last.offset, last.key, last.value)
        self._database.write(entries.items(), checkpoint.at(position))
        if self.progress is not None:
            self.progress.position = position

    def _log_unreadable(self, first: int, last: int, why: str) -> None:
        self._on_unread()
        self._strays += 1
        if self._strays <= _MAX_STRAY_LINES:
            log.error(
                "%s/%d offset %s is stepped over: %s",
                self._topic,
                self._partition,
                first if first == last else f"{first} to {last}",
                why,
            )

    async def _step_over_deleted(self, position: int, end: int) -> None:
        """Go on where the log begins: somebody deleted records that this database never had."""
        beginning = await self._log.beginning(self._topic, self._partition)
        if beginning <= position:
            raise TableError(
                f"the changelog of partition {self._partition} ends before offset {position}"
            )
        reached = min(beginning, end)
        log.error(
            "%s/%d lost the offsets %d to %d before they were read back: reports of this "
            "partition say so",
            self._topic,
            self._partition,
            position,
            reached - 1,
        )
        self._lost_ranges.append((position, reached))
        self._empty_offsets += reached - position
        self._database.write((), self._database.checkpoint.at(reached))

    async def _fetch(self, offset: int, *, max_bytes: int = FETCH_BYTES) -> FetchedLog:
        return await self._log.fetch(self._topic, self._partition, offset, max_bytes=max_bytes)

    async def _retry(self, ask: Callable[[], Any]) -> Any:
        while True:
            try:
                return await ask()
            except BrokerUnavailableError:
                await asyncio.sleep(_RETRY_SECONDS)
