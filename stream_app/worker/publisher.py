"""Publishes all records of the worker but its facts: dead letters, results, stores, watermarks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from aiokafka.errors import MessageSizeTooLargeError

from stream_app.contracts.dead_letters import DeadLetter, bounded_dead_letter, dead_letter_key
from stream_app.contracts.partitioning import partition_of
from stream_app.contracts.polls import encode_poll
from stream_app.contracts.report_results import ReportEvent, encode_event, event_key
from stream_app.contracts.stores import StoreRecord, encode_store
from stream_app.contracts.topics import (
    DEAD_LETTERS,
    LATEST_POLLS,
    REPORT_RESULTS,
    STORES,
    WATERMARKS,
)
from stream_app.contracts.watermarks import (
    RestoreStatus,
    Watermark,
    encode_restore,
    encode_watermark,
    restore_key,
    watermark_key,
)
from stream_app.kafka.batch_producer import BatchProducer
from stream_app.kafka.clients import producer, start, stop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from stream_app.contracts.topics import TopicSpec
    from stream_app.errors import OnFatalError
    from stream_app.kafka.batch_producer import BatchMetadata, Header
    from stream_app.settings import Settings
    from stream_app.worker.metrics import WorkerMetrics

RUNNING_SECONDS: Final = 0.005
"""Seconds for which the status `running` waits for the answer, to share its batch.

The batches of a partition are sent one after the other: an answer that is ready sooner would wait
until the broker has acknowledged a status that nobody needs any more.
"""

MAX_WAITING_BYTES: Final = 16 << 20
"""Bytes of one partition that may wait for the broker before another record is accepted."""


class Publisher:
    """Encodes the worker's records and sends them with one producer.

    A future that a method returns is done when the broker has acknowledged the record. The records
    of a batch share it: it must not be cancelled.

    Args:
        settings: how to reach the broker.
        metrics: counts the dead letters.
        on_fatal_error: called when a record failed for good: the records behind it in its
            partition fail too, and a worker that publishes no watermarks delays every report.
    """

    def __init__(
        self,
        settings: Settings,
        metrics: WorkerMetrics,
        on_fatal_error: OnFatalError,
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._on_fatal_error = on_fatal_error
        self._producer: Any = None
        self._batches: Any = None
        self._registrations: set[asyncio.Future[BatchMetadata]] = set()

    async def start(self) -> None:
        """Connect.

        Raises:
            BrokerUnavailableError: no broker answers.
        """
        self._producer = producer(self._settings)
        await start(self._producer, self._settings)
        self._batches = BatchProducer(self._producer, linger=RUNNING_SECONDS)

    async def stop(self) -> None:
        """Send the waiting records, unless the broker takes too long, and disconnect."""
        if self._producer is not None:
            await stop(self._producer, self._batches and self._batches.flush)

    async def publish_dead_letter(self, dead_letter: DeadLetter) -> asyncio.Future[BatchMetadata]:
        """Publish a dead letter; of an original that is too large, only the beginning."""
        self._metrics.dead_letter(dead_letter)
        return await self._send(
            DEAD_LETTERS, bounded_dead_letter(dead_letter), dead_letter_key(dead_letter)
        )

    async def forward(
        self,
        topic: str,
        partition: int,
        key: str,
        value: bytes | None,
        headers: Sequence[Header] = (),
    ) -> asyncio.Future[BatchMetadata]:
        """Forward a record to the partition whose owner can apply it.

        Raises:
            MessageSizeTooLargeError: it came compressed, and is too large by itself.
        """
        await self._batches.wait_for_capacity(topic, partition, MAX_WAITING_BYTES)
        return self._add(topic, partition, key.encode(), value, headers)

    async def publish_report_event(
        self, event: ReportEvent, topic: TopicSpec = REPORT_RESULTS
    ) -> asyncio.Future[BatchMetadata]:
        """Publish a report's status, or rows of it; all of one report go to one partition."""
        value, key = encode_event(event), event_key(event)
        partition = self._partition(topic, event.report_id.encode())
        await self._batches.wait_for_capacity(topic.name, partition, MAX_WAITING_BYTES)
        waits = event.status == "running" and event.chunk is None
        return self._add(topic.name, partition, key, value, at_once=not waits)

    async def publish_latest_poll(self, store: bytes, newest: Callable[[], int | None]) -> None:
        """Publish the newest poll of a store.

        Args:
            store: the store.
            newest: returns the packed poll when there is capacity for it; None if there is none.
        """
        store_id = str(UUID(bytes=store))
        key = store_id.encode()
        partition = self._partition(LATEST_POLLS, key)
        await self._batches.wait_for_capacity(LATEST_POLLS.name, partition, MAX_WAITING_BYTES)
        poll = newest()
        if poll is not None:
            value = encode_poll(store_id, poll >> 1, active=bool(poll & 1))
            self._add(LATEST_POLLS.name, partition, key, value)

    def publish_no_latest_poll(self, store: bytes) -> None:
        """Publish that a store has no poll any more, before any watermark that comes later."""
        self._publish_before_watermarks(LATEST_POLLS, store, None)

    def register_stores(self, stores: Iterable[bytes]) -> None:
        """Publish that stores exist, before any watermark that comes later."""
        for store in stores:
            self._publish_before_watermarks(
                STORES, store, encode_store(StoreRecord(str(UUID(bytes=store))))
            )

    def unregister_stores(self, stores: Iterable[bytes]) -> None:
        """Publish that stores do not exist any more, before any watermark that comes later."""
        for store in stores:
            self._publish_before_watermarks(STORES, store, None)

    def _publish_before_watermarks(
        self, topic: TopicSpec, store: bytes, value: bytes | None
    ) -> None:
        key = str(UUID(bytes=store)).encode()
        sent = self._add(topic.name, self._partition(topic, key), key, value)
        if sent not in self._registrations:
            self._registrations.add(sent)
            sent.add_done_callback(self._on_registered)

    def _on_registered(self, sent: asyncio.Future[BatchMetadata]) -> None:
        if not sent.cancelled() and sent.exception() is None:
            self._registrations.discard(sent)

    async def publish_watermarks(self, watermarks: Iterable[Watermark]) -> None:
        """Publish watermarks, after every store that they cover is registered.

        It returns when the broker holds them, or never will.
        """
        watermarks = list(watermarks)
        if self._registrations:
            # further stores may come meanwhile: they are of later watermarks
            done, _ = await asyncio.wait(set(self._registrations))
            for sent in done:
                sent.result()
        batches = {
            await self._send(WATERMARKS, encode_watermark(watermark), watermark_key(watermark))
            for watermark in watermarks
        }
        if batches:
            await asyncio.wait(batches)

    async def publish_restore_status(self, status: RestoreStatus) -> None:
        """Publish the progress of a restore."""
        await self._send(WATERMARKS, encode_restore(status), restore_key(status))

    async def _send(
        self, topic: TopicSpec, value: bytes, key: bytes
    ) -> asyncio.Future[BatchMetadata]:
        """Send a record to its key's partition."""
        partition = self._partition(topic, key)
        await self._batches.wait_for_capacity(topic.name, partition, MAX_WAITING_BYTES)
        return self._add(topic.name, partition, key, value)

    def _partition(self, topic: TopicSpec, key: bytes) -> int:
        return partition_of(key, topic.partitions(self._settings))

    def _add(
        self,
        topic: str,
        partition: int,
        key: bytes,
        value: bytes | None,
        headers: Sequence[Header] = (),
        *,
        at_once: bool = True,
    ) -> asyncio.Future[BatchMetadata]:
        batch = self._batches.add(topic, partition, key, value, headers=headers, at_once=at_once)
        sent: asyncio.Future[BatchMetadata] = batch.sent
        if batch.count == 1:
            sent.add_done_callback(self._on_sent)
        return sent

    def _on_sent(self, sent: asyncio.Future[BatchMetadata]) -> None:
        error = None if sent.cancelled() else sent.exception()
        if error is not None and not isinstance(error, MessageSizeTooLargeError):
            self._on_fatal_error(error)
