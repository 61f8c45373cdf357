"""Topics that a test fills, behind the interface of aiokafka's consumer."""

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
    """What aiokafka makes of a Kafka record; the time in milliseconds."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    value: bytes | None
    timestamp_type: int = APPEND_TIME
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


class Found(NamedTuple):
    offset: int


@dataclass
class Topics:
    """Records by topic and partition.

    Attributes:
        records: what is there.
        deleted: the offset below which records were deleted, by topic and partition.
        read: offsets that were handed out, in order.
    """

    records: defaultdict[tuple[str, int], list[TopicRecord]] = field(
        default_factory=lambda: defaultdict(list)
    )
    deleted: dict[tuple[str, int], int] = field(default_factory=dict)
    read: list[tuple[str, int, int]] = field(default_factory=list)

    def add(self, topic: str, partition: int, value: bytes, taken: int, **told: Any) -> int:
        """Append a record that the broker took at an instant (µs); its offset."""
        records = self.records[topic, partition]
        offset = len(records)
        records.append(TopicRecord(topic, partition, offset, taken // 1000, value, **told))
        return offset

    def consumer(self, _settings: Any) -> FakeConsumer:
        return FakeConsumer(self)


class FakeConsumer:
    """Reads `Topics` as aiokafka's consumer does."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        self._position = 0
        self.stopped = False

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        self.stopped = True

    async def beginning_offsets(self, places: Iterable[TopicPartition]) -> dict[Any, int]:
        return {place: self._topics.deleted.get(tuple(place), 0) for place in places}

    async def end_offsets(self, places: Iterable[TopicPartition]) -> dict[Any, int]:
        return {place: len(self._topics.records[tuple(place)]) for place in places}

    async def offsets_for_times(self, times: Mapping[TopicPartition, int]) -> dict[Any, Any]:
        ((place, time),) = times.items()
        found = (r.offset for r in self._topics.records[tuple(place)] if r.timestamp >= time)
        offset = next(found, None)
        return {place: None if offset is None else Found(offset)}

    def assign(self, places: Iterable[TopicPartition]) -> None:
        (self._place,) = places

    def seek(self, _place: TopicPartition, offset: int) -> None:
        self._position = offset

    async def getmany(
        self, place: TopicPartition, *, timeout_ms: int, max_records: int
    ) -> dict[Any, list[TopicRecord]]:
        assert timeout_ms
        if self._position < self._topics.deleted.get(tuple(place), 0):
            raise OffsetOutOfRangeError
        records = self._topics.records[tuple(place)][self._position :][:max_records]
        self._position += len(records)
        self._topics.read += [(place.topic, place.partition, r.offset) for r in records]
        return {place: records} if records else {}

    async def position(self, _place: TopicPartition) -> int:
        return self._position
