"""Inspects offsets that no record was received for: it was missed or deleted, or never existed.

Transaction markers, aborted transactions and records that compaction removed leave offsets
without a record. Records that the log deleted before they were read leave such offsets too, and
those are a loss. The difference is whether the log's beginning lies behind the offset.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from aiokafka.errors import KafkaError

from stream_app.errors import BrokerUnavailableError
from stream_app.kafka.clients import safe_consumer, start, unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiokafka import TopicPartition

    from stream_app.settings import Settings

_LOOK_SECONDS: Final = 10.0


class OffsetGap(NamedTuple):
    """The result of inspecting a range of offsets.

    Attributes:
        lost_end: records below it are deleted from the log; the range's first offset if none are.
        next_offset: the first offset that has a record, or the end of the range.
    """

    lost_end: int
    next_offset: int


class OffsetGaps:
    """Inspects ranges of offsets, over a connection of its own.

    Args:
        settings: how to reach the broker.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._consumer: Any = None
        self._lock = asyncio.Lock()

    async def start(self) -> None:
        """Connect.

        Raises:
            BrokerUnavailableError: no broker answers.
        """
        self._consumer = safe_consumer(
            self._settings, isolation_level="read_committed", auto_offset_reset="earliest"
        )
        await start(self._consumer, self._settings)

    async def stop(self) -> None:
        """Disconnect."""
        if self._consumer is not None:
            await self._consumer.stop()

    async def inspect(
        self, ranges: Mapping[TopicPartition, tuple[int, int]]
    ) -> dict[TopicPartition, OffsetGap]:
        """Inspect each range `[first, end)`; a log only ever loses records.

        Raises:
            BrokerUnavailableError: no broker answers in time.
        """
        async with self._lock:
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    return await self._look(ranges)
            except TimeoutError as error:
                raise BrokerUnavailableError(
                    f"Kafka did not answer within {_LOOK_SECONDS:g} s"
                ) from error
            except KafkaError as error:
                raise unavailable(self._settings, error) from error

    async def _look(
        self, ranges: Mapping[TopicPartition, tuple[int, int]]
    ) -> dict[TopicPartition, OffsetGap]:
        consumer = self._consumer
        unknown = dict(ranges)
        consumer.assign(list(unknown))
        beginnings = await consumer.beginning_offsets(list(unknown))
        lost_ends: dict[TopicPartition, int] = {}
        for partition, (first, end) in unknown.items():
            lost_ends[partition] = min(max(first, beginnings[partition]), end)
            consumer.seek(partition, max(first, beginnings[partition]))
        gaps: dict[TopicPartition, OffsetGap] = {}
        while unknown:
            batches = await consumer.getmany(*unknown, timeout_ms=200, max_records=1)
            for partition, (_, end) in list(unknown.items()):
                records = batches.get(partition)
                next_offset = records[0].offset if records else await consumer.position(partition)
                if records or next_offset >= end:
                    gaps[partition] = OffsetGap(lost_ends[partition], min(next_offset, end))
                    del unknown[partition]
        return gaps
