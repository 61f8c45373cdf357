from __future__ import annotations

from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError

from stream_app.errors import BrokerUnavailableError
from stream_app.kafka import partition_reader
from stream_app.kafka.offsets import EndOffsetFetcher
from stream_app.kafka.partition_reader import PartitionReader
from tests.fake_record import FakeRecord
from tests.fakes import SETTINGS


class ConsumerDouble:
    """Returns the fetches of a test, and moves its position with them."""

    def __init__(self, *fetches: list[int]) -> None:
        self.fetches = list(fetches)
        self.position_now = 0
        self.error: Exception | None = None

    def assign(self, partitions: list[TopicPartition]) -> None:
        self.partition = partitions[0]

    def seek(self, _partition: TopicPartition, offset: int) -> None:
        self.position_now = offset

    async def getmany(
        self, _partition: TopicPartition, *, timeout_ms: int, max_records: int
    ) -> dict[Any, Any]:
        assert timeout_ms > 0 < max_records
        if self.error is not None:
            raise self.error
        offsets = self.fetches.pop(0) if self.fetches else []
        if not offsets:
            return {}
        self.position_now = offsets[-1] + 1
        return {self.partition: [FakeRecord(PLACE.topic, b"", offset=o) for o in offsets]}

    async def position(self, _partition: TopicPartition) -> int:
        return self.position_now

    async def beginning_offsets(self, _partitions: list[TopicPartition]) -> dict[Any, int]:
        raise KafkaConnectionError

    offsets_for_times = beginning_offsets


PLACE = TopicPartition("dead-letters", 0)


def reader_of(consumer: ConsumerDouble) -> PartitionReader:
    return PartitionReader(SETTINGS, consumer, EndOffsetFetcher(SETTINGS))


async def read(consumer: ConsumerDouble, first: int, end: int) -> list[int]:
    return [r.offset async for r in reader_of(consumer).records(PLACE, first, end)]


async def test_a_range_is_read_over_gaps_and_not_beyond_its_end() -> None:
    consumer = ConsumerDouble([3, 4], [], [7], [9, 10, 11])
    assert await read(consumer, 3, 10) == [3, 4, 7, 9]


async def test_a_broker_that_falls_silent_is_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition_reader, "READ_TIMEOUT_SECONDS", 0.0)
    with pytest.raises(BrokerUnavailableError):
        await read(ConsumerDouble([3]), 3, 10)


async def test_a_broker_that_is_lost_is_one_clear_error() -> None:
    consumer = ConsumerDouble()
    consumer.error = KafkaConnectionError()
    reader = reader_of(consumer)
    with pytest.raises(BrokerUnavailableError, match="no Kafka broker answers"):
        await read(consumer, 3, 10)
    with pytest.raises(BrokerUnavailableError):
        await reader.bounds(PLACE)
    with pytest.raises(BrokerUnavailableError):
        await reader.first_since(PLACE, 5)
