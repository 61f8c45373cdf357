"""Reads ranges of offsets of a partition, without a consumer group."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from aiokafka.errors import KafkaError

from stream_app.kafka.clients import safe_consumer, start, unavailable
from stream_app.kafka.offsets import EndOffsetFetcher
from stream_app.kafka.safe_records import readable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiokafka import TopicPartition

    from stream_app.settings import Settings

READ_TIMEOUT_SECONDS: Final = 30.0
"""Seconds after which a broker that returns none of the remaining records is out of reach."""

_FETCH_BYTES: Final = 1 << 20
_POLL_MS: Final = 1000
_POLL_RECORDS: Final = 5_000


class PartitionReader:
    """Reads ranges of offsets, one partition after the other, in bounded memory."""

    def __init__(
        self, settings: Settings, consumer: Any, end_offset_fetcher: EndOffsetFetcher
    ) -> None:
        self._settings = settings
        self._consumer = consumer
        self._end_offset_fetcher = end_offset_fetcher

    async def bounds(self, partition: TopicPartition) -> tuple[int, int]:
        """Return the offset of the oldest record that the topic still has, and the end offset.

        Raises:
            BrokerUnavailableError: no broker answers.
        """
        try:
            oldest = await self._consumer.beginning_offsets([partition])
        except KafkaError as error:
            raise unavailable(self._settings, error) from error
        ends = await self._end_offset_fetcher.fetch([partition])
        return oldest[partition], ends[partition]

    async def first_since(self, partition: TopicPartition, instant: int) -> int | None:
        """Return the offset of the first record appended at an instant (µs) or later, or None.

        Raises:
            BrokerUnavailableError: no broker answers.
        """
        try:
            # a broker counts milliseconds
            offsets = await self._consumer.offsets_for_times({partition: -(-instant // 1000)})
        except KafkaError as error:
            raise unavailable(self._settings, error) from error
        return None if offsets[partition] is None else int(offsets[partition].offset)

    async def records(self, partition: TopicPartition, first: int, end: int) -> AsyncIterator[Any]:
        """Yield the readable records with offsets in `[first, end)`, oldest first.

        Raises:
            BrokerUnavailableError: no record came for READ_TIMEOUT_SECONDS.
        """
        if first >= end:
            return
        loop = asyncio.get_running_loop()
        self._consumer.assign([partition])
        self._consumer.seek(partition, first)
        last_fetch = loop.time()
        position = first
        while position < end:
            try:
                fetched = await self._consumer.getmany(
                    partition, timeout_ms=_POLL_MS, max_records=_POLL_RECORDS
                )
                position = await self._consumer.position(partition)
            except KafkaError as error:
                raise unavailable(self._settings, error) from error
            for record in readable(fetched.get(partition, ())):
                if record.offset < end:
                    yield record
            if fetched:
                last_fetch = loop.time()
            elif loop.time() - last_fetch >= READ_TIMEOUT_SECONDS:
                raise unavailable(self._settings, TimeoutError())


@asynccontextmanager
async def partition_reader(settings: Settings) -> AsyncIterator[PartitionReader]:
    """Yield a context that gives a connected reader.

    Raises:
        BrokerUnavailableError: no broker answers.
    """
    consumer = safe_consumer(
        settings,
        auto_offset_reset="earliest",
        # as the worker reads: records of an aborted transaction do not count
        isolation_level="read_committed",
        max_partition_fetch_bytes=_FETCH_BYTES,
    )
    end_offset_fetcher = EndOffsetFetcher(settings)
    await start(consumer, settings)
    try:
        await end_offset_fetcher.start()
        yield PartitionReader(settings, consumer, end_offset_fetcher)
    finally:
        await end_offset_fetcher.stop()
        await consumer.stop()
