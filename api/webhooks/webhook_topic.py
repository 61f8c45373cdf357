"""Consumers of the topic of webhooks, and the commits of their group."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from stream_app.contracts.topics import WEBHOOKS_GROUP
from stream_app.errors import BrokerUnavailableError
from stream_app.kafka.clients import connection, safe_consumer, start
from stream_app.kafka.safe_records import last_offset

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiokafka import TopicPartition

    from stream_app.settings import Settings

READ_SECONDS: Final = 15.0
"""Seconds that reading some records again by their offsets may take."""

_FETCH_MS: Final = 250
_FETCHED: Final = 500


class WebhookTopic:
    """Makes the consumers of the group, and reads webhooks again by their offsets.

    Args:
        settings: how to reach the broker.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._reader: Any = None

    def new_consumer(self) -> Any:
        """Return a consumer that is a member of the group."""
        return safe_consumer(
            self._settings,
            group_id=WEBHOOKS_GROUP,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
        )

    async def committed(
        self, partitions: Sequence[TopicPartition]
    ) -> dict[TopicPartition, tuple[int, str]]:
        """Return the committed offset and metadata of partitions.

        An admin client asks, since a consumer would return the offset without the metadata.

        Raises:
            BrokerUnavailableError: no broker answers.
            KafkaError: no broker answers in time.
        """
        admin = AIOKafkaAdminClient(**connection(self._settings))
        await start(admin, self._settings)
        try:
            offsets = await admin.list_consumer_group_offsets(
                WEBHOOKS_GROUP, partitions=list(partitions)
            )
        finally:
            await admin.close()
        return {
            # the offset is -1 if nothing is committed
            partition: (max(offsets[partition].offset, 0), offsets[partition].metadata or "")
            for partition in partitions
        }

    async def read(self, partition: TopicPartition, offsets: Sequence[int]) -> dict[int, Any]:
        """Return the records at some offsets, without those that the log no longer has.

        They are read by a consumer that is in no group.

        Args:
            partition: the partition of the webhooks.
            offsets: the offsets of the webhooks, in order.

        Raises:
            BrokerUnavailableError: no broker answers in time.
            KafkaError: no broker answers in time.
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
        if self._reader is None:
            consumer = safe_consumer(
                self._settings,
                # if the log has deleted the records, reading begins at its first one
                auto_offset_reset="earliest",
                isolation_level="read_committed",
            )
            await start(consumer, self._settings)
            self._reader = consumer
        consumer = self._reader
        consumer.assign([partition])
        consumer.seek(partition, offsets[0])
        remaining = set(offsets)
        records: dict[int, Any] = {}
        while await consumer.position(partition) <= offsets[-1]:
            fetched = await consumer.getmany(partition, timeout_ms=_FETCH_MS, max_records=_FETCHED)
            for record in fetched.get(partition, ()):
                if last_offset(record) in remaining:
                    records[last_offset(record)] = record
        return records

    async def stop(self) -> None:
        """Disconnect the consumer that reads by offsets."""
        consumer, self._reader = self._reader, None
        if consumer is not None:
            await consumer.stop()
