"""Fakes aiokafka's consumer with topics that a test fills."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from aiokafka.errors import OffsetOutOfRangeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aiokafka import TopicPartition

APPEND_TIME = 1


@dataclass(frozen=True)
class TopicRecord:
    """A record as aiokafka's consumer returns it; its timestamp is in ms."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    value: bytes | None
    timestamp_type: int = APPEND_TIME
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


class OffsetOfTime(NamedTuple):
    offset: int


@dataclass
class Topics:
    """Records by topic and partition.

    Attributes:
        records: all records, also deleted ones.
        deleted: the offset below which records are deleted, by topic and partition.
        read: topic, partition and offset of every record that was read, in order.
    """

    records: defaultdict[tuple[str, int], list[TopicRecord]] = field(
        default_factory=lambda: defaultdict(list)
    )
    deleted: dict[tuple[str, int], int] = field(default_factory=dict)
    read: list[tuple[str, int, int]] = field(default_factory=list)

    def add(self, topic: str, partition: int, value: bytes, instant: int, **fields: Any) -> int:
        """Append a record with the broker's time in µs, and return its offset."""
        records = self.records[topic, partition]
        offset = len(records)
        records.append(TopicRecord(topic, partition, offset, instant // 1000, value, **fields))
        return offset

    def consumer(self, _settings: Any) -> FakeConsumer:
        return FakeConsumer(self)


class FakeConsumer:
    """A consumer of `Topics` with the methods of aiokafka's consumer."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        self._position = 0
        self.stopped = False

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        self.stopped = True

    async def beginning_offsets(self, partitions: Iterable[TopicPartition]) -> dict[Any, int]:
        return {
            partition: self._topics.deleted.get(tuple(partition), 0) for partition in partitions
        }

    async def end_offsets(self, partitions: Iterable[TopicPartition]) -> dict[Any, int]:
        return {partition: len(self._topics.records[tuple(partition)]) for partition in partitions}

    async def offsets_for_times(self, times: Mapping[TopicPartition, int]) -> dict[Any, Any]:
        ((partition, time),) = times.items()
        later = (r.offset for r in self._topics.records[tuple(partition)] if r.timestamp >= time)
        offset = next(later, None)
        return {partition: None if offset is None else OffsetOfTime(offset)}

    def assign(self, partitions: Iterable[TopicPartition]) -> None:
        (self._partition,) = partitions

    def seek(self, _partition: TopicPartition, offset: int) -> None:
        self._position = offset

    async def getmany(
        self, partition: TopicPartition, *, timeout_ms: int, max_records: int
    ) -> dict[Any, list[TopicRecord]]:
        assert timeout_ms
        if self._position < self._topics.deleted.get(tuple(partition), 0):
            raise OffsetOutOfRangeError
        records = self._topics.records[tuple(partition)][self._position :][:max_records]
        self._position += len(records)
        self._topics.read += [(partition.topic, partition.partition, r.offset) for r in records]
        return {partition: records} if records else {}

    async def position(self, _partition: TopicPartition) -> int:
        return self._position
