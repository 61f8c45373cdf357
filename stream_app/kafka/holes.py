"""Ranges of offsets without a record: transaction markers, and what compaction removed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from stream_app.kafka.clients import safe_consumer, start, unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream_app.settings import Settings

Partition = tuple[str, int]

_LOOK_SECONDS: Final = 5.0


async def empty_ranges(
    settings: Settings, ranges: Mapping[Partition, tuple[int, int]]
) -> set[Partition]:
    """Which of these ranges hold no record; a log only ever loses records, so it stays true.

    Args:
        settings: how to reach the broker.
        ranges: by topic and partition, the first offset and the one behind the last.

    Raises:
        BrokerUnavailableError: no broker answers.
    """
    consumer = safe_consumer(
        settings,
        isolation_level="read_committed",
        # where the range begins before the log does, the log's first record is what comes next
        auto_offset_reset="earliest",
    )
    await start(consumer, settings)
    try:
        async with asyncio.timeout(_LOOK_SECONDS):
            return await _look(consumer, ranges)
    except TimeoutError:
        return set()
    except KafkaError as error:
        raise unavailable(settings, error) from error
    finally:
        await consumer.stop()


async def _look(consumer: Any, ranges: Mapping[Partition, tuple[int, int]]) -> set[Partition]:
    unknown = {TopicPartition(*partition): found for partition, found in ranges.items()}
    consumer.assign(list(unknown))
    for partition, (first, _) in unknown.items():
        consumer.seek(partition, first)
    empty: set[Partition] = set()
    while unknown:
        batches = await consumer.getmany(*unknown, timeout_ms=200, max_records=1)
        for partition, (_, end) in list(unknown.items()):
            records = batches.get(partition)
            if records:
                # records that cannot be read are not nothing: their dead letter comes first
                position = records[0].offset
            else:
                position = await consumer.position(partition)
            if position >= end:
                empty.add((partition.topic, partition.partition))
            if records or position >= end:
                del unknown[partition]
    return empty
