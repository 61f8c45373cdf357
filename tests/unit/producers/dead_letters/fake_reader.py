"""A fake of `PartitionReader` that reads partitions in memory."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from stream_app.contracts.dead_letters import DeadLetter, encode_dead_letter
from stream_app.contracts.partitioning import partition_of
from stream_app.contracts.topics import DEAD_LETTERS, TopicSpec
from stream_app.settings import Settings
from tests.fake_record import FakeRecord

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from aiokafka import TopicPartition

SETTINGS = Settings.from_environment({})


class FakeReader:
    """Partitions in memory; offsets begin at `oldest`.

    Attributes:
        read: number of records that were read.
        most_at_once: the longest range that was read.
    """

    def __init__(self, oldest: int = 0) -> None:
        self.oldest = oldest
        self.read = 0
        self.most_at_once = 0
        self.partitions: defaultdict[tuple[str, int], list[FakeRecord]] = defaultdict(list)

    def add(
        self,
        topic: TopicSpec,
        store_id: str,
        value: bytes,
        timestamp: int = 0,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> int:
        """Append a record of a store and return its offset."""
        partition = partition_of(store_id.encode(), topic.partitions(SETTINGS))
        records = self.partitions[topic.name, partition]
        offset, key = self.oldest + len(records), store_id.encode()
        records.append(FakeRecord(topic.name, value, timestamp, offset, partition, headers, key))
        return records[-1].offset

    def add_dead_letter(self, dead_letter: DeadLetter, timestamp: int = 0) -> int:
        """Append a dead letter and return its id."""
        return self.add(DEAD_LETTERS, "anything", encode_dead_letter(dead_letter), timestamp)

    async def bounds(self, partition: TopicPartition) -> tuple[int, int]:
        return self.oldest, self.oldest + len(self.partitions[tuple(partition)])

    async def first_since(self, partition: TopicPartition, instant: int) -> int | None:
        records = self.partitions[tuple(partition)]
        return next((r.offset for r in records if r.timestamp * 1000 >= instant), None)

    async def records(
        self, partition: TopicPartition, first: int, end: int
    ) -> AsyncIterator[FakeRecord]:
        self.most_at_once = max(self.most_at_once, end - first)
        for record in self.partitions[tuple(partition)]:
            if first <= record.offset < end:
                self.read += 1
                yield record
