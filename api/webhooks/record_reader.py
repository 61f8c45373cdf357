"""Records of a partition read once more, by their offsets."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from aiokafka.errors import KafkaError

from stream_app.errors import BrokerUnavailableError
from stream_app.kafka.clients import safe_consumer, start
from stream_app.kafka.safe_records import last_offset

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiokafka import TopicPartition

    from stream_app.settings import Settings

READ_SECONDS: Final = 15.0
"""For which records are waited for."""

_FETCH_MS: Final = 250
_FETCHED: Final = 500


class WebhookReader:
    """Reads with a consumer of its own, which is in no group.

    Args:
        settings: how to reach the broker.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._consumer: Any = None

    async def read(self, partition: TopicPartition, offsets: Sequence[int]) -> dict[int, Any]:
        """The records at some offsets; those that the log has no more are missing.

        Args:
            partition: where they are.
            offsets: in order.

        Raises:
            BrokerUnavailableError: no broker answers in time.
            KafkaError: likewise.
        """
        try:
            async with asyncio.timeout(READ_SECONDS):
                return await self._read(partition, offsets)
        except TimeoutError:
            await self.stop()
            raise BrokerUnavailableError(
                f"{partition.topic}/{partition.partition} was not read within {READ_SECONDS:g} s"
            ) from None
        except (KafkaError, BrokerUnavailableError):
            await self.stop()
            raise

    async def _read(self, partition: TopicPartition, offsets: Sequence[int]) -> dict[int, Any]:
        if self._consumer is None:
            consumer = safe_consumer(
                self._settings,
                # where the log begins behind what is asked for
                auto_offset_reset="earliest",
                isolation_level="read_committed",
            )
            await start(consumer, self._settings)
            self._consumer = consumer
        consumer = self._consumer
        consumer.assign([partition])
        consumer.seek(partition, offsets[0])
        wanted = set(offsets)
        found: dict[int, Any] = {}
        while await consumer.position(partition) <= offsets[-1]:
            fetched = await consumer.getmany(partition, timeout_ms=_FETCH_MS, max_records=_FETCHED)
            for record in fetched.get(partition, ()):
                if last_offset(record) in wanted:
                    found[last_offset(record)] = record
        return found

    async def stop(self) -> None:
        """Disconnect."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.stop()
