"""How far topics reach."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiokafka.errors import KafkaError

from stream_app.kafka.clients import safe_consumer, start, unavailable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiokafka import TopicPartition

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

    async def ask(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """The offset behind the last record, now, of any topics' partitions.

        Raises:
            BrokerUnavailableError: no broker answers.
        """
        try:
            ends: dict[TopicPartition, int] = await self._consumer.end_offsets(list(partitions))
        except KafkaError as error:
            raise unavailable(self._settings, error) from error
        return ends
