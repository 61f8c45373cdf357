"""Sends records to Kafka with acknowledgement and back-pressure, for replays and for pings."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self

from aiokafka.errors import KafkaError, KafkaTimeoutError

from stream_app.contracts.partitioning import partition_of
from stream_app.errors import StoreUptimeError
from stream_app.kafka.clients import producer, start, stop, unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_app.contracts.topics import TopicSpec
    from stream_app.settings import Settings

BATCH_BYTES: Final = 256 << 10
"""Bytes of one batch; at most two batches a partition are buffered or in flight."""

LINGER_MS: Final = 20
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


class RecordSink:
    """An async context that sends records and counts the acknowledged ones.

    Its end waits for all acknowledgements. The client retries without loss, doubles or
    reordering; the sink fails after `time_limit` seconds without any acknowledgement.

    Args:
        settings: name the brokers and the partitions of a topic.
        linger_ms: time that a record waits for others to share its batch.
        time_limit: seconds without any acknowledgement while records are in flight.

    Attributes:
        counts: the counts by topic name.
        in_flight: number of records without an acknowledgement.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        linger_ms: int = LINGER_MS,
        time_limit: float = TIME_LIMIT_SECONDS,
    ) -> None:
        self.counts: defaultdict[str, SinkCount] = defaultdict(SinkCount)
        self.in_flight = 0
        self._settings = settings
        self._linger_ms = linger_ms
        self._time_limit = time_limit
        self._last_answer = 0.0
        self._failure: StoreUptimeError | None = None

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._idle = asyncio.Event()
        self._idle.set()
        self._producer = producer(
            self._settings,
            linger_ms=self._linger_ms,
            max_batch_size=BATCH_BYTES,
            # send() waits this long for room before it checks for acknowledgements
            request_timeout_ms=int(min(30.0, self._time_limit / 2) * 1000),
        )
        await start(self._producer, self._settings)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                await self.drain()
        finally:
            await stop(self._producer)

    async def send(
        self,
        topic: TopicSpec,
        key: bytes,
        value: bytes,
        *,
        rows: int = 1,
        on_acknowledged: Callable[[Any], None] | None = None,
    ) -> None:
        """Send a record; wait while the buffer of its partition is full.

        Args:
            topic: the topic of the record.
            key: the record's key, which decides its partition.
            value: the record's value.
            rows: number of input rows that it holds, for the counts.
            on_acknowledged: called with the record's metadata when it is acknowledged.

        Raises:
            BrokerUnavailableError: nothing was acknowledged for the time limit.
            StoreUptimeError: a broker rejected this record or an earlier one for good.
        """
        # by the settings: no worker reads a partition that was added to the topic later
        partition = partition_of(key, topic.partitions(self._settings))
        while True:
            if self._failure is not None:
                raise self._failure
            if not self.in_flight:
                self._last_answer = self._loop.time()
            try:
                future = await self._producer.send(
                    topic.name, value=value, key=key, partition=partition
                )
                break
            except KafkaTimeoutError as error:
                self._check_time_limit(error)
            except KafkaError as error:
                raise self._to_error(topic.name, error) from error
        count = self.counts[topic.name]
        count.records += 1
        count.rows += rows
        self.in_flight += 1
        self._idle.clear()
        future.add_done_callback(partial(self._done, topic.name, rows, on_acknowledged))

    async def drain(self) -> None:
        """Wait until everything sent so far is acknowledged.

        Raises:
            BrokerUnavailableError: nothing was acknowledged for the time limit.
            StoreUptimeError: a broker rejected a record for good.
        """
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

    def _done(
        self,
        topic: str,
        rows: int,
        on_acknowledged: Callable[[Any], None] | None,
        future: asyncio.Future[Any],
    ) -> None:
        count = self.counts[topic]
        self.in_flight -= 1
        self._last_answer = self._loop.time()
        error = None if future.cancelled() else future.exception()
        if future.cancelled() or error is not None:
            count.failed_records += 1
            if self._failure is None and error is not None:
                self._failure = self._to_error(topic, error)
        else:
            count.acknowledged_records += 1
            count.acknowledged_rows += rows
            if on_acknowledged is not None:
                on_acknowledged(future.result())
        if not self.in_flight:
            self._idle.set()

    def _to_error(self, topic: str, error: BaseException) -> StoreUptimeError:
        if getattr(error, "retriable", False):
            return unavailable(self._settings, error)
        detail = " ".join(str(error).split())
        return StoreUptimeError(f"Kafka refuses a record on {topic}: {detail}")
