"""Sends records to Kafka with acknowledgement and back-pressure, for replays and for pings.

`BatchProducer` sends the records in batches. aiokafka's `send` makes a future, a wake-up and a log
line for every record, and these take longer than everything else that a replay does for it.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final, Self

from aiokafka.errors import KafkaError

from stream_app.contracts.partitioning import partition_of
from stream_app.errors import StoreUptimeError
from stream_app.kafka.batch_producer import Batch, BatchMetadata, BatchProducer
from stream_app.kafka.clients import producer, start, stop, unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_app.contracts.topics import TopicSpec
    from stream_app.settings import Settings

BATCH_BYTES: Final = 256 << 10
"""Bytes of one batch."""

MAX_WAITING_BYTES: Final = 2 * BATCH_BYTES
"""Bytes of a partition that may be buffered or in flight; the next record waits then."""

LINGER_SECONDS: Final = 0.02
"""A record waits this long for others to share its batch."""

TIME_LIMIT_SECONDS: Final = 60.0
"""A broker is out of reach when it has acknowledged none of the waiting records for this long."""


@dataclass(slots=True)
class SinkCount:
    """Counts of the records sent to a topic; a record can hold many rows."""

    records: int = 0
    rows: int = 0
    acknowledged_records: int = 0
    acknowledged_rows: int = 0
    failed_records: int = 0


@dataclass(slots=True)
class _PendingBatch:
    """The counts of a batch that the broker has not acknowledged."""

    topic: str
    records: int = 0
    rows: int = 0
    callbacks: list[Callable[[BatchMetadata], None]] = field(default_factory=list)


class RecordSink:
    """An async context that sends records and counts the acknowledged ones.

    Its end waits for all acknowledgements. The client retries without loss, doubles or
    reordering; the sink fails after `time_limit` seconds without any acknowledgement.

    Args:
        settings: name the brokers and the partitions of a topic.
        linger: seconds that a record waits for others to share its batch.
        time_limit: seconds without any acknowledgement while records are in flight.

    Attributes:
        counts: the counts by topic name.
        in_flight: number of records without an acknowledgement.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        linger: float = LINGER_SECONDS,
        time_limit: float = TIME_LIMIT_SECONDS,
    ) -> None:
        self.counts: defaultdict[str, SinkCount] = defaultdict(SinkCount)
        self.in_flight = 0
        self._settings = settings
        self._linger = linger
        self._time_limit = time_limit
        self._last_answer = 0.0
        self._failure: StoreUptimeError | None = None
        self._pending: dict[Batch, _PendingBatch] = {}

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._idle = asyncio.Event()
        self._idle.set()
        self._producer = producer(
            self._settings,
            max_batch_size=BATCH_BYTES,
            # a request to a silent broker is sent again within the time limit
            request_timeout_ms=int(min(30.0, self._time_limit / 2) * 1000),
        )
        await start(self._producer, self._settings)
        self._batches = BatchProducer(self._producer, linger=self._linger)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                await self.drain()
        finally:
            await stop(self._producer, self._batches.flush)

    async def send(
        self,
        topic: TopicSpec,
        key: bytes,
        value: bytes,
        *,
        rows: int = 1,
        on_acknowledged: Callable[[BatchMetadata], None] | None = None,
    ) -> None:
        """Send a record; wait while the buffer of its partition is full.

        Args:
            topic: the topic of the record.
            key: the record's key, which decides its partition.
            value: the record's value.
            rows: number of input rows that it holds, for the counts.
            on_acknowledged: called with the metadata of its batch when it is acknowledged.

        Raises:
            BrokerUnavailableError: nothing was acknowledged for the time limit.
            StoreUptimeError: a broker rejected this record or an earlier one for good.
        """
        # the settings decide: workers do not read partitions that were added to the topic later
        partition = partition_of(key, topic.partitions(self._settings))
        await self._wait_for_capacity(topic.name, partition)
        if self._failure is not None:
            raise self._failure
        if not self.in_flight:
            self._last_answer = self._loop.time()
        try:
            batch = self._batches.add(topic.name, partition, key, value)
        except KafkaError as error:
            raise self._to_error(topic.name, error) from error
        pending = self._pending.get(batch)
        if pending is None:
            pending = self._pending[batch] = _PendingBatch(topic.name)
            batch.sent.add_done_callback(partial(self._done, batch))
        pending.records += 1
        pending.rows += rows
        if on_acknowledged is not None:
            pending.callbacks.append(on_acknowledged)
        count = self.counts[topic.name]
        count.records += 1
        count.rows += rows
        self.in_flight += 1
        self._idle.clear()

    async def _wait_for_capacity(self, topic: str, partition: int) -> None:
        while self._batches.waiting(topic, partition) > MAX_WAITING_BYTES:
            try:
                async with asyncio.timeout_at(self._last_answer + self._time_limit):
                    await self._batches.wait_for_capacity(topic, partition, MAX_WAITING_BYTES)
            except TimeoutError as error:
                self._check_time_limit(error)

    async def drain(self) -> None:
        """Wait until everything sent so far is acknowledged.

        Raises:
            BrokerUnavailableError: nothing was acknowledged for the time limit.
            StoreUptimeError: a broker rejected a record for good.
        """
        self._batches.start_all()
        while self.in_flight:
            try:
                async with asyncio.timeout_at(self._last_answer + self._time_limit):
                    await self._idle.wait()
            except TimeoutError as error:
                self._check_time_limit(error)
        if self._failure is not None:
            raise self._failure

    def _check_time_limit(self, error: Exception) -> None:
        if self._loop.time() - self._last_answer >= self._time_limit:
            raise unavailable(self._settings, error) from error

    def _done(self, batch: Batch, sent: asyncio.Future[BatchMetadata]) -> None:
        pending = self._pending.pop(batch)
        count = self.counts[pending.topic]
        self.in_flight -= pending.records
        self._last_answer = self._loop.time()
        error = None if sent.cancelled() else sent.exception()
        if sent.cancelled() or error is not None:
            count.failed_records += pending.records
            if self._failure is None and error is not None:
                self._failure = self._to_error(pending.topic, error)
        else:
            count.acknowledged_records += pending.records
            count.acknowledged_rows += pending.rows
            for on_acknowledged in pending.callbacks:
                on_acknowledged(sent.result())
        if not self.in_flight:
            self._idle.set()

    def _to_error(self, topic: str, error: BaseException) -> StoreUptimeError:
        if getattr(error, "retriable", False):
            return unavailable(self._settings, error)
        detail = " ".join(str(error).split())
        return StoreUptimeError(f"Kafka refuses a record on {topic}: {detail}")
