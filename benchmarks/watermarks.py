"""Measures when acknowledged records became visible, from the watermarks of the workers."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from aiokafka import TopicPartition

from stream_app.contracts.topics import SOURCE_TOPICS, WATERMARKS
from stream_app.contracts.watermarks import decode_watermark
from stream_app.kafka.offsets import EndOffsetFetcher
from stream_app.kafka.topic_tail import TopicTail

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream_app.contracts.topics import TopicSpec
    from stream_app.settings import Settings


@dataclass(frozen=True, slots=True)
class Advance:
    """A watermark with a new offset, and the time at which it was read (`perf_counter`)."""

    at: float
    partition: TopicPartition
    applied: int


class Watermarks:
    """Reads the watermarks while its block runs.

    A report waits for the same watermarks, so it includes the same polls.
    """

    def __init__(self, settings: Settings) -> None:
        self._end_offset_fetcher = EndOffsetFetcher(settings)
        self._tail = TopicTail(
            settings, [WATERMARKS], self._end_offset_fetcher, self._on_record, from_beginning=False
        )
        self._settings = settings
        self._moved = asyncio.Event()
        self.applied: dict[TopicPartition, int] = {}
        self.advances: list[Advance] = []

    async def __aenter__(self) -> Self:
        await self._end_offset_fetcher.start()
        await self._tail.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._tail.stop()
        await self._end_offset_fetcher.stop()

    def _on_record(self, record: Any) -> None:
        watermark = decode_watermark(record.value)
        partition = (watermark.topic, watermark.partition)
        if watermark.applied > self.applied.get(partition, -1):
            self.applied[partition] = watermark.applied
            self.advances.append(Advance(time.perf_counter(), partition, watermark.applied))
            self._moved.set()

    async def end_offsets(self, *specs: TopicSpec) -> dict[TopicPartition, int]:
        """Return the end offsets of topics; of the source topics if none is given."""
        return await self._end_offset_fetcher.fetch(
            TopicPartition(spec.name, partition)
            for spec in specs or SOURCE_TOPICS
            for partition in range(spec.partitions(self._settings))
        )

    async def caught_up(self) -> float:
        """Wait until all acknowledged records are applied; return the time (`perf_counter`)."""
        await self.reached(await self.end_offsets())
        return self.advances[-1].at

    async def reached(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Wait until the watermarks have reached these offsets."""
        while any(self.applied.get(p, -1) < offset for p, offset in offsets.items()):
            self._moved.clear()
            await self._moved.wait()
