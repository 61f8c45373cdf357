"""The API's connection to Kafka, which is made in the background.

All clients reconnect by themselves to a broker that was away. But a producer may break for good: a
record that failed leaves a gap in the sequence numbers of its partition, and the broker accepts no
record after a gap. So a producer is replaced when one of its records has failed.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from aiokafka.errors import KafkaError

from api.kafka.publisher import ANSWER_SECONDS
from api.kafka.shutdown import bounded
from stream_app.contracts.access import api_process
from stream_app.errors import BrokerUnavailableError, StoreUptimeError
from stream_app.kafka.admin import ensure_topics
from stream_app.kafka.batch_producer import BatchProducer
from stream_app.kafka.clients import producer, start, unavailable
from stream_app.periodic import cancel_tasks

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

    from stream_app.contracts.topics import TopicSpec
    from stream_app.kafka.batch_producer import BatchMetadata
    from stream_app.settings import Settings

log = logging.getLogger(__name__)

_T = TypeVar("_T")

LINGER_SECONDS: Final = 0.005
"""Seconds for which a record waits for others: a request costs as much as a hundred polls."""

BATCH_BYTES: Final = 256 << 10
"""Bytes of one batch of a partition: well under what a topic takes at once."""

_RETRY_SECONDS: Final = 1.0


class Reader(Protocol):
    """A part that reads from Kafka while the API is connected."""

    async def start(self) -> None:
        """Connect."""

    def stop(self) -> Coroutine[Any, Any, None]:
        """Disconnect."""


class View(Reader, Protocol):
    """A reader that must have read everything before the first request is answered."""

    async def catch_up(self) -> None:
        """Wait until everything that is in its topics now is read."""


@dataclass(frozen=True, slots=True)
class _Sending:
    """A producer, and the batches of records that wait for it."""

    producer: Any
    batches: BatchProducer

    async def stop(self) -> None:
        """Send the records that wait, and disconnect."""
        try:
            await self.batches.flush()
        finally:
            await self.producer.stop()


class KafkaConnection:
    """The producer and all readers of this process.

    Args:
        settings: the settings, with the broker resolved.
        readers: readers that are started in this order once a broker answers.
        views: further readers; there is a connection when all of them have caught up.
        new_producer: makes the client that sends.
    """

    def __init__(
        self,
        settings: Settings,
        readers: Sequence[Reader],
        views: Sequence[View],
        new_producer: Callable[[Settings], Any] | None = None,
    ) -> None:
        self._settings = settings
        self._readers: list[Reader] = [*readers, *views]
        self._views = views
        self._new_producer = new_producer or _new_producer
        self._sending: _Sending | None = None
        self._unavailable_reason: str | None = "still connecting to Kafka"
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def unavailable_reason(self) -> str | None:
        """Return the reason why there is no connection, in one line; None if there is one."""
        return self._unavailable_reason

    async def start(self) -> None:
        """Start to connect; returns at once."""
        self._background(self._connect(), "connect")

    async def stop(self) -> None:
        """Send in-flight records if the broker acknowledges them soon, and disconnect."""
        self._unavailable_reason = "stopping"
        await cancel_tasks(self._tasks)
        sending, self._sending = self._sending, None
        await asyncio.gather(
            *(bounded(reader.stop()) for reader in self._readers),
            *([bounded(sending.stop())] if sending is not None else []),
        )

    def require_connected(self) -> None:
        """Raise an error unless there is a connection.

        Raises:
            BrokerUnavailableError: there is none.
        """
        if self._unavailable_reason is not None:
            raise BrokerUnavailableError(self._unavailable_reason)

    def send(
        self,
        topic: TopicSpec,
        partition: int,
        key: bytes,
        value: bytes | None,
        *,
        at_once: bool = False,
    ) -> asyncio.Future[BatchMetadata]:
        """Send a record; those of a partition keep the order of calls.

        Args:
            topic: the topic of the record.
            partition: its partition.
            key: its key.
            value: its value.
            at_once: whether it is sent without waiting for other records of its batch.

        Returns:
            the future of its batch: done when the broker has it, or failed with a `KafkaError`.
            Other callers share the future: wait for it without cancelling it.

        Raises:
            BrokerUnavailableError: it cannot be sent.
        """
        sending = self._sending
        if sending is None:
            raise BrokerUnavailableError(self._unavailable_reason or "connecting to Kafka again")
        try:
            batch = sending.batches.add(topic.name, partition, key, value, at_once=at_once)
        except KafkaError as error:
            raise unavailable(self._settings, error) from error
        if batch.count == 1:
            batch.sent.add_done_callback(partial(self._on_sent, sending))
        return batch.sent

    async def bounded_wait(self, waiting: Awaitable[_T]) -> _T:
        """Wait for an answer of Kafka for at most `ANSWER_SECONDS`.

        Raises:
            BrokerUnavailableError: the answer did not come in time.
        """
        try:
            return await asyncio.wait_for(waiting, ANSWER_SECONDS)
        except TimeoutError:
            raise BrokerUnavailableError(
                f"Kafka did not answer within {ANSWER_SECONDS:g} s"
            ) from None

    async def _connect(self) -> None:
        while True:
            try:
                await ensure_topics(self._settings, api_process(self._settings))
                await self._open_producer()
                for reader in self._readers:
                    await reader.start()
                for view in self._views:
                    await view.catch_up()
            except (StoreUptimeError, KafkaError) as error:
                if str(error) != self._unavailable_reason:
                    log.warning("not connected yet, trying again: %s", error)
                self._unavailable_reason = str(error)
                await self._disconnect()
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                self._unavailable_reason = None
                log.info("connected to Kafka at %s", self._settings.kafka_bootstrap)
                return

    async def _disconnect(self) -> None:
        for reader in reversed(self._readers):
            await bounded(reader.stop())
        sending, self._sending = self._sending, None
        if sending is not None:
            await bounded(sending.stop())

    async def _open_producer(self) -> None:
        opening = self._new_producer(self._settings)
        try:
            await start(opening, self._settings)
        except asyncio.CancelledError:
            await bounded(opening.stop())
            raise
        self._sending = _Sending(opening, BatchProducer(opening, linger=LINGER_SECONDS))

    def _on_sent(self, sending: _Sending, sent: asyncio.Future[BatchMetadata]) -> None:
        error = None if sent.cancelled() else sent.exception()
        if error is None or self._sending is not sending:
            return
        log.warning("a record failed for good, connecting the producer anew: %r", error)
        self._sending = None
        self._background(self._renew(sending), "renew-producer")

    async def _renew(self, broken: _Sending) -> None:
        # the old producer ends first: its records must not be written after later ones
        await bounded(broken.stop())
        while True:
            try:
                await self._open_producer()
            except BrokerUnavailableError as error:
                log.warning("%s", error)
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                return

    def _background(self, work: Any, name: str) -> None:
        task: asyncio.Task[Any] = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _new_producer(settings: Settings) -> Any:
    return producer(settings, max_batch_size=BATCH_BYTES)
