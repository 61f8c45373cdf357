"""What the brokers say of where a group's reading goes on: commits, ends, ids of topics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from stream_app.contracts.topics import APP_ID, CONSUMED_TOPICS
from stream_app.kafka.clients import connection, start, unavailable
from stream_app.kafka.topic_ids import describe_topics

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stream_app.settings import Settings

SourcePartition = tuple[str, int]


@dataclass(frozen=True, slots=True)
class GroupOffsets:
    """Offsets of the consumed topics' partitions, at one moment.

    Attributes:
        committed: what the group has committed; a partition without a commit is left out.
        beginnings: the first offset of each log.
        ends: the offset behind the last record of each log.
        topic_ids: the id of each topic, where the brokers tell it.
    """

    committed: dict[SourcePartition, int]
    beginnings: dict[SourcePartition, int]
    ends: dict[SourcePartition, int]
    topic_ids: dict[str, str]


async def read_group_offsets(settings: Settings, partitions: Iterable[int]) -> GroupOffsets:
    """Ask for the offsets of these partitions of all consumed topics.

    Raises:
        BrokerUnavailableError: no broker answers.
    """
    wanted = [
        TopicPartition(spec.name, partition) for spec in CONSUMED_TOPICS for partition in partitions
    ]
    admin = AIOKafkaAdminClient(**connection(settings))
    consumer = AIOKafkaConsumer(**connection(settings), group_id=None)
    await start(admin, settings)
    try:
        await start(consumer, settings)
        try:
            committed = await admin.list_consumer_group_offsets(APP_ID, partitions=wanted)
            beginnings = await consumer.beginning_offsets(wanted)
            ends = await consumer.end_offsets(wanted)
        finally:
            await consumer.stop()
        topics = await describe_topics(admin, [spec.name for spec in CONSUMED_TOPICS])
    except KafkaError as error:
        raise unavailable(settings, error) from error
    finally:
        await admin.close()
    return GroupOffsets(
        # -1 is Kafka's word for: nothing committed
        {(tp.topic, tp.partition): c.offset for tp, c in committed.items() if c.offset >= 0},
        {(tp.topic, tp.partition): offset for tp, offset in beginnings.items()},
        {(tp.topic, tp.partition): offset for tp, offset in ends.items()},
        {name: topic.id for name, topic in topics.items() if topic.id is not None},
    )
