"""A reader that follows whole topics, without a consumer group, and knows how far it is."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from stream_app.kafka.clients import connection, start, unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from stream_app.contracts.topics import TopicSpec
    from stream_app.kafka.offsets import Highwaters
    from stream_app.settings import Settings

log = logging.getLogger(__name__)

_RETRY_SECONDS: Final = 1.0

_FETCH_MS: Final = 500
"""A reader that gets no record, only a transaction marker, notices after so long."""


class TopicTail:
    """Hands every record of some topics to `handle`, in the order of each partition.

    Args:
        settings: how to reach the broker.
        specs: the topics, all partitions of each.
        highwaters: asked how far the topics reach.
        handle: called with every `ConsumerRecord`; must not raise.
        from_beginning: False starts at the end as it is when `start` returns.
    """

    def __init__(
        self,
        settings: Settings,
        specs: Iterable[TopicSpec],
        highwaters: Highwaters,
        handle: Callable[[Any], None],
        *,
        from_beginning: bool = True,
    ) -> None:
        self._settings = settings
        self._highwaters = highwaters
        self._handle = handle
        self._from_beginning = from_beginning
        self._partitions = [
            TopicPartition(spec.name, partition)
            for spec in specs
            for partition in range(spec.partitions(settings))
        ]
        self._consumer: Any = None
        self._next: dict[TopicPartition, int] = {}
        self._moved = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect and begin to read.

        Raises:
            BrokerUnavailableError: no broker answers.
        """
        self._consumer = AIOKafkaConsumer(
            **connection(self._settings),
            group_id=None,
            enable_auto_commit=False,
            isolation_level="read_committed",
            auto_offset_reset="earliest" if self._from_beginning else "latest",
            max_partition_fetch_bytes=4_194_304,
        )
        await start(self._consumer, self._settings)
        try:
            self._consumer.assign(self._partitions)
            ask = (
                self._consumer.beginning_offsets
                if self._from_beginning
                else self._consumer.end_offsets
            )
            self._next = dict(await ask(self._partitions))
        except KafkaError as error:
            await self._consumer.stop()
            raise unavailable(self._settings, error) from error
        for partition, offset in self._next.items():
            self._consumer.seek(partition, offset)
        self._task = asyncio.create_task(self._read(), name="topic-tail")

    async def stop(self) -> None:
        """Stop reading and disconnect."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        if self._consumer is not None:
            await self._consumer.stop()

    async def catch_up(self) -> None:
        """Wait until everything that is in the topics now has been handled.

        Raises:
            BrokerUnavailableError: no broker answers.
        """
        await self.wait_for(
            await self._highwaters.ask((tp.topic, tp.partition) for tp in self._partitions)
        )

    async def wait_for(self, offsets: Mapping[tuple[str, int], int]) -> None:
        """Wait until all records below these offsets have been handled."""
        async with self._moved:
            await self._moved.wait_for(
                lambda: all(
                    self._next.get(TopicPartition(*partition), 0) >= offset
                    for partition, offset in offsets.items()
                )
            )

    async def _read(self) -> None:
        while True:
            try:
                batches = await self._consumer.getmany(timeout_ms=_FETCH_MS, max_records=5000)
                for records in batches.values():
                    for record in records:
                        self._handle(record)
                # the last record's offset would stay behind a transaction marker for ever
                positions = {
                    partition: await self._consumer.position(partition)
                    for partition in self._partitions
                }
            except KafkaError as error:
                log.warning("cannot read from Kafka now, trying again: %r", error)
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            if positions != self._next:
                self._next = positions
                async with self._moved:
                    self._moved.notify_all()
            # many records at once must not keep requests waiting
            await asyncio.sleep(0)
