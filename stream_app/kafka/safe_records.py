"""Consumers that no batch can stop.

aiokafka raises where a batch cannot be read, fetches the same batch again, and raises again. After
`install` its consumers hand out an `UnreadableRecords` in place of such a batch, and go on behind
it. aiokafka has no hook for that: `install` replaces two names in its fetcher, both of which are
looked up when a fetch is answered. `pyproject.toml` bounds the version of aiokafka for that reason.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

from aiokafka.consumer import fetcher
from aiokafka.record.control_record import ABORT_MARKER, ControlRecord
from aiokafka.record.default_records import DefaultRecordBatch

from stream_app.kafka.record_batches import (
    MAX_UNPACKED_BYTES,
    RawBatch,
    UnreadableBatchError,
    has_batch,
    raw_batches,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class UnreadableRecords:
    """Stands among a consumer's records for a range of offsets that cannot be read.

    It has no key and no value. Its `offset` counts for the consumer's position, like a record's.

    Attributes:
        topic: the topic of the range.
        partition: the partition of the range.
        offset: the first offset of the range that the consumer had not passed yet.
        first_offset: the first offset of the range, the same for every reader.
        last_offset: the last one.
        timestamp: the time of the newest record, in ms, as the batch says it.
        reason: why it cannot be read.
    """

    topic: str
    partition: int
    offset: int
    first_offset: int
    last_offset: int
    timestamp: int
    reason: str

    key: ClassVar[None] = None
    value: ClassVar[None] = None
    timestamp_type: ClassVar[int] = 0

    def __str__(self) -> str:
        return (
            f"{self.topic}/{self.partition}: offsets {self.first_offset} to {self.last_offset} "
            f"cannot be read: {self.reason}"
        )


def readable(records: Iterable[Any]) -> Iterator[Any]:
    """Yield the records that can be read; a range that cannot be is one line in the log."""
    for record in records:
        if isinstance(record, UnreadableRecords):
            log.error("%s", record)
        else:
            yield record


def last_offset(record: Any) -> int:
    """Return the offset of a record, or of the last one of a range that cannot be read."""
    offset: int = record.last_offset if isinstance(record, UnreadableRecords) else record.offset
    return offset


def source_of(record: Any) -> dict[str, str | int]:
    """Return the source of a dead letter: the place of a record or of an unreadable range."""
    if isinstance(record, UnreadableRecords):
        return {
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.first_offset,
            "last_offset": record.last_offset,
        }
    return {"topic": record.topic, "partition": record.partition, "offset": record.offset}


class FetchedBatches:
    """The fetched batches of a partition, of which nothing is read yet.

    Args:
        data: batches as the broker stores them.
    """

    def __init__(self, data: bytes | None) -> None:
        self.data = data or b""

    def has_next(self) -> bool:
        """Return True if there is at least one complete batch."""
        return has_batch(self.data)

    def size_in_bytes(self) -> int:
        """Return the size of all batches."""
        return len(self.data)


class _Turn(threading.local):
    """The bytes that this thread has unpacked in the present round of its event loop.

    aiokafka hands out all that was fetched at once: forty small batches that unpack to 64 MB each
    would be all in memory, and nothing else would run until the last one is unpacked.
    """

    unpacked = 0

    @property
    def is_over(self) -> bool:
        """Return whether this round has unpacked enough, so that the next batch waits."""
        return self.unpacked >= MAX_UNPACKED_BYTES

    def count(self, unpacked: int) -> None:
        """Add bytes that were unpacked."""
        if not self.unpacked:
            asyncio.get_running_loop().call_soon(self._reset)
        self.unpacked += unpacked

    def _reset(self) -> None:
        self.unpacked = 0


_turn: Final = _Turn()


class ConsumerRecord(NamedTuple):
    """A record that a consumer hands out, as aiokafka's own class of this name.

    It is made in a fraction of the time, and takes a third of the memory.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]

    @property
    def checksum(self) -> None:
        """Return nothing: only old formats of records had one. Faust asks for it."""

    @property
    def serialized_key_size(self) -> int:
        """Return the length of the key in bytes; -1 if there is none."""
        return -1 if self.key is None else len(self.key)

    @property
    def serialized_value_size(self) -> int:
        """Return the length of the value in bytes; -1 if there is none."""
        return -1 if self.value is None else len(self.value)


class SafePartitionRecords(fetcher.PartitionRecords):
    """The records in the fetched data, one after the other, for aiokafka's consumer."""

    next_fetch_offset: int

    def __iter__(self) -> Iterator[Any]:
        # without a call of Python for each record
        return iter(self._records_iterator or ())

    def _unpack_records(self) -> Iterator[Any]:
        for batch in raw_batches(self._records.data):
            if _turn.is_over:
                # to aiokafka this is the end of the fetched data: it fetches the rest again
                return
            if not self._is_left_out(batch):
                yield from self._records_in(batch)
            self._move_to(batch.next_offset)

    def _is_left_out(self, batch: RawBatch) -> bool:
        """Return whether a batch is no client's, or of a transaction that was aborted."""
        if batch.error is not None:
            return False
        if self._isolation_level == fetcher.READ_COMMITTED:
            self._consume_aborted_up_to(batch.base_offset)
            if batch.is_control and self._ends_aborted(batch):
                self._aborted_producers.discard(batch.producer_id)
            if batch.is_transactional and batch.producer_id in self._aborted_producers:
                return True
        return batch.is_control

    def _ends_aborted(self, batch: RawBatch) -> bool:
        markers = [record.key for record in DefaultRecordBatch(batch.data)]
        return bool(markers) and ControlRecord.parse(markers[0]) == ABORT_MARKER

    def _records_in(self, batch: RawBatch) -> Iterator[Any]:
        first = batch.base_offset
        reason = None
        try:
            for chunk in batch.chunks(_turn.count):
                records = self._consumer_records(chunk)
                first = chunk[-1].offset + 1
                for record in records:
                    self.next_fetch_offset = record.offset + 1
                    yield record
        except UnreadableBatchError as error:
            reason = str(error)
        # not in the handler: what was unpacked lives as long as the error that is handled
        position = max(first, self.next_fetch_offset)
        if reason is not None and position < batch.next_offset:
            self._move_to(batch.next_offset)
            yield UnreadableRecords(
                topic=self._tp.topic,
                partition=self._tp.partition,
                offset=position,
                first_offset=first,
                last_offset=batch.next_offset - 1,
                timestamp=batch.max_timestamp,
                reason=reason,
            )

    def _consumer_records(self, chunk: Iterable[Any]) -> list[ConsumerRecord]:
        """Return the records from the fetched offset on: a batch is always fetched whole."""
        topic, partition = self._tp
        first_offset = self.next_fetch_offset
        # a named tuple's own constructor is a function of Python, which takes as long again
        make = tuple.__new__
        return [
            make(
                ConsumerRecord,
                (
                    topic,
                    partition,
                    record.offset,
                    record.timestamp,
                    record.timestamp_type,
                    record.key,
                    record.value,
                    record.headers,
                ),
            )
            for record in chunk
            if record.offset >= first_offset
        ]

    def _move_to(self, offset: int) -> None:
        # also where compaction took the last records of a batch away
        self.next_fetch_offset = max(self.next_fetch_offset, offset)


def install() -> None:
    """Make all consumers of this process read in this way, those of Faust too."""
    fetcher.MemoryRecords = FetchedBatches
    fetcher.PartitionRecords = SafePartitionRecords
