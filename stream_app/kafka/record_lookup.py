"""Single records of a log, by their offsets."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from stream_app.errors import BrokerUnavailableError
from stream_app.kafka.clients import safe_consumer, start, unavailable
from stream_app.kafka.safe_records import readable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream_app.settings import Settings

_PATIENCE_SECONDS: Final = 30.0


async def first_records(
    settings: Settings, topic: str, offsets: Mapping[int, int]
) -> dict[int, Any]:
    """Return the first record that can be read at or behind an offset, of each partition.

    Args:
        settings: how to reach the broker.
        topic: the topic.
        offsets: the offset for each partition; a record must come at or behind it.

    Raises:
        BrokerUnavailableError: no broker answers in time.
    """
    if not offsets:
        return {}
    consumer = safe_consumer(settings, auto_offset_reset="earliest")
    await start(consumer, settings)
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            return await _read(consumer, topic, offsets)
    except TimeoutError as error:
        raise BrokerUnavailableError(
            f"Kafka did not answer within {_PATIENCE_SECONDS:g} s"
        ) from error
    except KafkaError as error:
        raise unavailable(settings, error) from error
    finally:
        await consumer.stop()


async def _read(consumer: Any, topic: str, offsets: Mapping[int, int]) -> dict[int, Any]:
    consumer.assign([TopicPartition(topic, partition) for partition in offsets])
    for partition, offset in offsets.items():
        consumer.seek(TopicPartition(topic, partition), offset)
    first: dict[int, Any] = {}
    while missing := offsets.keys() - first.keys():
        partitions = [TopicPartition(topic, partition) for partition in missing]
        for tp, records in (
            await consumer.getmany(*partitions, timeout_ms=500, max_records=1)
        ).items():
            for record in readable(records):
                first[tp.partition] = record
    return first
