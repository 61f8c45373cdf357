"""Offsets: how far topics reach, and where the workers' group goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from stream_app.contracts.topics import APP_ID, CONSUMED_TOPICS
from stream_app.kafka.clients import connection, safe_consumer, start, unavailable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stream_app.settings import Settings


class Highwaters:
    """Asks the brokers how far topics reach.

    It has a connection of its own: on one that also fetches, a question would wait for the
    fetch in front of it, which the broker holds for up to half a second.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._consumer: Any = None

    async def start(self) -> None:
        """Connect.

        Raises:
            BrokerUnavailableError: no broker answers.
        """
        # records of a transaction that is still open are not acknowledged: nobody waits for them
        self._consumer = safe_consumer(self._settings, isolation_level="read_committed")
        await start(self._consumer, self._settings)

    async def stop(self) -> None:
        """Disconnect."""
        if self._consumer is not None:
            await self._consumer.stop()

    async def ask(self, partitions: Iterable[tuple[str, int]]) -> dict[tuple[str, int], int]:
        """The offset behind the last record, now, of any topics' partitions.

        Raises:
            BrokerUnavailableError: no broker answers.
        """
        asked = [TopicPartition(topic, partition) for topic, partition in partitions]
        try:
            ends = await self._consumer.end_offsets(asked)
        except KafkaError as error:
            raise unavailable(self._settings, error) from error
        return {(tp.topic, tp.partition): offset for tp, offset in ends.items()}


async def resume_offsets(
    settings: Settings, partitions: Iterable[int]
) -> dict[tuple[str, int], int]:
    """The next offset of each consumed partition: the committed one, or the beginning.

    Raises:
        BrokerUnavailableError: no broker answers.
    """
    wanted = [
        TopicPartition(spec.name, partition) for spec in CONSUMED_TOPICS for partition in partitions
    ]
    admin = AIOKafkaAdminClient(**connection(settings))
    consumer = safe_consumer(settings)
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
