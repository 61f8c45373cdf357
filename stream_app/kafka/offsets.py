"""Where the workers' group goes on in the source topics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from stream_app.contracts.topics import APP_ID, SOURCE_TOPICS
from stream_app.kafka.clients import connection, start, unavailable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stream_app.settings import Settings


async def resume_offsets(
    settings: Settings, partitions: Iterable[int]
) -> dict[tuple[str, int], int]:
    """The next offset of each source partition: the committed one, or the beginning.

    Raises:
        BrokerUnavailableError: no broker answers.
    """
    wanted = [
        TopicPartition(spec.name, partition) for spec in SOURCE_TOPICS for partition in partitions
    ]
    admin = AIOKafkaAdminClient(**connection(settings))
    consumer = AIOKafkaConsumer(**connection(settings), group_id=None)
    await start(admin, settings)
    try:
        await start(consumer, settings)
        try:
            committed = await admin.list_consumer_group_offsets(APP_ID, partitions=wanted)
            beginnings = await consumer.beginning_offsets(wanted)
        finally:
            await consumer.stop()
    except KafkaError as error:
        raise unavailable(settings, error) from error
    finally:
        await admin.close()
    return {
        # -1 is Kafka's word for: nothing committed
        (tp.topic, tp.partition): max(committed[tp].offset if tp in committed else -1, beginning)
        for tp, beginning in beginnings.items()
    }
