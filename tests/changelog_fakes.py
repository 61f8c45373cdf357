"""A changelog made by hand: it has gaps, control batches, stray and unreadable records too."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiokafka.errors import OffsetOutOfRangeError

from stream_app.errors import BrokerUnavailableError
from stream_app.kafka.log_reader import FETCH_BYTES, FetchedLog
from stream_app.kafka.record_batches import ReadBatch
from stream_app.worker.facts.keys import CHECKPOINT_KEY, why_stray

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from stream_app.worker.facts.database import FactsDatabase

UNAVAILABLE = BrokerUnavailableError("no broker answers")

Entry = tuple[bytes | None, bytes | None]


@dataclass(frozen=True)
class LogRecord:
    """A record as a reader of the log returns it."""

    offset: int
    key: bytes | None
    value: bytes | None


@dataclass
class FakeLog:
    """One partition of a changelog.

    Attributes:
        batches: the batches in the order of the log.
        first: offset at which the log begins.
        end_offset: offset at which the log ends; None for the end of the last batch.
        batches_a_fetch: largest number of batches that one fetch returns.
        fetched: the offset and the size of every fetch, in order.
        errors: raised by the next calls, in order.
        on_fetch: called for every fetch before it is answered.
        most_at_once: largest number of fetches that ran at the same time.
        gate: while it is not set, no fetch is answered.
    """

    batches: list[ReadBatch] = field(default_factory=list)
    first: int = 0
    end_offset: int | None = None
    batches_a_fetch: int = 1
    fetched: list[tuple[int, int]] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)
    on_fetch: Callable[[], None] = lambda: None
    most_at_once: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    _running: int = 0

    def __post_init__(self) -> None:
        self.gate.set()

    @property
    def last(self) -> int:
        """Return the end offset of the log."""
        if self.end_offset is not None:
            return self.end_offset
        return self.batches[-1].next_offset if self.batches else self.first

    @property
    def offsets(self) -> list[int]:
        """Return the offsets of the fetches, without those of single records."""
        return [offset for offset, size in self.fetched if size == FETCH_BYTES]

    def add(
        self, *entries: Entry, at: int | None = None, until: int | None = None, error: str = ""
    ) -> FakeLog:
        """Append a batch, at an offset if one is given; it covers the offsets up to `until`."""
        base = self.last if at is None else at
        records = [LogRecord(base + n, key, value) for n, (key, value) in enumerate(entries)]
        end = base + len(records) if until is None else until
        self.put(base, end, records, error or None)
        return self

    def put(
        self, base: int, end: int, records: Iterable[LogRecord], error: str | None = None
    ) -> None:
        """Append a batch of the offsets from `base` to before `end`."""
        self.batches.append(ReadBatch(base, end, [] if error else list(records), error))

    def fold(self, end: int) -> dict[bytes, bytes]:
        """Return the content of a database that has read all records below an offset."""
        content: dict[bytes, bytes] = {}
        for batch in self.batches:
            for record in batch.records:
                if record.offset >= end or record.offset < self.first:
                    continue
                if why_stray(record.key, record.value) is not None:
                    continue
                if record.value is None:
                    content.pop(record.key, None)
                else:
                    content[record.key] = record.value
        return content

    def records_in(self, start: int, end: int) -> int:
        """Count the readable records in a range of offsets."""
        return sum(start <= r.offset < end for batch in self.batches for r in batch.records)

    async def fetch(
        self,
        topic: str,  # noqa: ARG002
        partition: int,  # noqa: ARG002
        offset: int,
        *,
        max_bytes: int = FETCH_BYTES,
    ) -> FetchedLog:
        self.fetched.append((offset, max_bytes))
        self._running += 1
        self.most_at_once = max(self.most_at_once, self._running)
        try:
            self.on_fetch()
            await asyncio.sleep(0)
            await self.gate.wait()
        finally:
            self._running -= 1
        if self.errors:
            raise self.errors.pop(0)
        if not self.first <= offset <= self.last:
            raise OffsetOutOfRangeError
        batches = [
            b
            for b in self.batches
            if b.next_offset > max(offset, self.first) and b.base_offset < self.last
        ]
        most = 1 if max_bytes == 1 else self.batches_a_fetch
        return FetchedLog(batches[:most], self.last)

    async def beginning(self, topic: str, partition: int) -> int:  # noqa: ARG002
        await asyncio.sleep(0)
        if self.errors:
            raise self.errors.pop(0)
        return self.first

    async def end(self, topic: str, partition: int) -> int:  # noqa: ARG002
        await asyncio.sleep(0)
        if self.errors:
            raise self.errors.pop(0)
        return self.last


def content_of(database: FactsDatabase) -> dict[bytes, bytes]:
    """Return all entries of a database except its checkpoint."""
    return {key: value for key, value in database._open().items() if key != CHECKPOINT_KEY}
