"""The API's side of Kafka: a producer, and views of what the topics say.

It connects in the background and again whenever it must: until then, and while the broker is
away, every call raises `BrokerUnavailableError` within a bounded time.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from aiokafka.errors import KafkaError

from api.report_log import ReportLog
from stream_app.contracts.records import decode_store
from stream_app.contracts.reports import ReportEvent, encode_event, encode_request
from stream_app.contracts.topics import REPORT_REQUESTS, REPORT_RESULTS, STORES
from stream_app.errors import (
    BrokerUnavailableError,
    RecordError,
    StoreUptimeError,
    WorkersBehindError,
)
from stream_app.kafka.admin import ensure_topics
from stream_app.kafka.clients import producer, start, unavailable
from stream_app.kafka.offsets import Highwaters
from stream_app.kafka.progress import Progress
from stream_app.kafka.tail import TopicTail
from stream_app.settings import format_duration

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from api.report_log import ReportState
    from stream_app.contracts.reports import ReportRequest
    from stream_app.contracts.topics import TopicSpec
    from stream_app.settings import Settings

log = logging.getLogger(__name__)

_T = TypeVar("_T")

ANSWER_SECONDS: Final = 5.0
"""No HTTP request waits longer than this for the broker or the workers."""

_CONNECT_RETRY_SECONDS: Final = 1.0
_DEADLINE_CHECK_SECONDS: Final = 0.25
_DEADLINE_BATCH: Final = 500
_FORGET_EVERY_SECONDS: Final = 60.0


class Gateway:
    """Kafka as the routes see it.

    Args:
        settings: with the broker resolved.
        clock: the wall clock in µs.
    """

    def __init__(self, settings: Settings, clock: Callable[[], int]) -> None:
        self._settings = settings
        self._clock = clock
        self._stores: set[str] = set()
        self._connected = False
        self._trouble = "still connecting to Kafka"
        self._folder = tempfile.TemporaryDirectory(prefix="store-uptime-api-")
        self._log = ReportLog(Path(self._folder.name) / "reports.sqlite")
        self._producer: Any = None
        self._highwaters = Highwaters(settings)
        self._progress = Progress(settings, self._highwaters, time.monotonic)
        self._reports_tail = TopicTail(
            settings, [REPORT_REQUESTS, REPORT_RESULTS], self._highwaters, self._log.on_record
        )
        self._stores_tail = TopicTail(settings, [STORES], self._highwaters, self._on_store)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to connect; returns at once."""
        self._tasks = [
            asyncio.create_task(self._connect(), name="connect"),
            asyncio.create_task(self._keep_deadlines(), name="deadlines"),
        ]

    async def stop(self) -> None:
        """Disconnect."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._disconnect()
        self._log.close()
        self._folder.cleanup()

    async def trouble(self) -> str | None:
        """Why reports cannot be answered now, in one line; None: they can."""
        if not self._connected:
            return self._trouble
        try:
            await self._in_time(self._highwaters.ask([(STORES.name, 0)]))
        except BrokerUnavailableError:
            return "the Kafka broker is out of reach"
        unowned = self._progress.unowned()
        if unowned:
            shown = ", ".join(f"{topic}/{partition}" for topic, partition in unowned[:3])
            return (
                f"{len(unowned)} source partitions have no worker now ({shown}, ...): "
                "it is starting, recovering, or down"
            )
        return None

    async def store_exists(self, store_id: str) -> bool:
        """Whether a store is known, after everything acknowledged so far.

        Raises:
            BrokerUnavailableError: the broker did not answer in time.
            WorkersBehindError: the store may be in what the workers have yet to apply.
        """
        if store_id in self._stores:
            return True
        self._require_connection()
        # acknowledged a moment ago, it may not be registered yet: wait before saying no
        try:
            await asyncio.wait_for(self._progress.catch_up(), ANSWER_SECONDS)
        except TimeoutError:
            raise WorkersBehindError(
                f"store {store_id} is not known yet, and the workers are still applying what "
                "came in: try again later"
            ) from None
        await self._in_time(self._stores_tail.catch_up())
        return store_id in self._stores

    async def request_report(self, request: ReportRequest) -> None:
        """Ask for a report; returns when the broker holds the request.

        Raises:
            BrokerUnavailableError: the broker did not acknowledge in time.
        """
        self._require_connection()
        await self._send(REPORT_REQUESTS, encode_request(request), request.store_id)
        self._log.requested(request, self._clock())

    async def report(self, report_id: str) -> ReportState | None:
        """A report as it stands; None: nobody asked for it.

        Raises:
            BrokerUnavailableError: the broker did not answer in time.
        """
        state = self._log.get(report_id)
        if state is None:
            self._require_connection()
            # another API process may have taken the request a moment ago
            await self._in_time(self._reports_tail.catch_up())
            state = self._log.get(report_id)
        return state

    def open_reports(self) -> int:
        """How many reports are pending or running."""
        return self._log.open_count()

    async def _connect(self) -> None:
        while True:
            try:
                await ensure_topics(self._settings)
                self._producer = producer(self._settings)
                await start(self._producer, self._settings)
                await self._highwaters.start()
                await self._progress.start()
                await self._stores_tail.start()
                await self._reports_tail.start()
                await self._stores_tail.catch_up()
                await self._reports_tail.catch_up()
            except (StoreUptimeError, KafkaError) as error:
                if str(error) != self._trouble:
                    log.warning("not connected yet, trying again: %s", error)
                self._trouble = str(error)
                await self._disconnect()
                await asyncio.sleep(_CONNECT_RETRY_SECONDS)
            else:
                self._connected = True
                log.info("connected to Kafka at %s", self._settings.kafka_bootstrap)
                return

    async def _disconnect(self) -> None:
        self._connected = False
        for part in (self._reports_tail, self._stores_tail, self._progress, self._highwaters):
            await part.stop()
        if self._producer is not None:
            await self._producer.stop()
            self._producer = None

    async def _keep_deadlines(self) -> None:
        """Fail what no worker finished in time; the worker's own answer wins if it came first."""
        last_forgotten = 0.0
        while True:
            await asyncio.sleep(_DEADLINE_CHECK_SECONDS)
            if not self._connected:
                continue
            now = self._clock()
            late = self._log.overdue(now - self._settings.report_deadline, _DEADLINE_BATCH)
            try:
                for report_id in late:
                    await self._fail(report_id, now)
                if late:
                    # a worker may have been quicker: what counts is the order in the topic
                    await self._in_time(self._reports_tail.catch_up())
            except BrokerUnavailableError as error:
                log.warning("%d reports are overdue, to be failed later: %s", len(late), error)
            if time.monotonic() - last_forgotten >= _FORGET_EVERY_SECONDS:
                last_forgotten = time.monotonic()
                self._log.forget(now - self._settings.report_retention)

    async def _fail(self, report_id: str, now: int) -> None:
        event = ReportEvent(
            report_id,
            "failed",
            now,
            reason="no worker answered within the deadline of "
            f"{format_duration(self._settings.report_deadline)}",
        )
        await self._send(REPORT_RESULTS, encode_event(event), report_id)

    async def _send(self, topic: TopicSpec, value: bytes, key: str) -> None:
        try:
            await self._in_time(self._producer.send_and_wait(topic.name, value, key.encode()))
        except KafkaError as error:
            raise unavailable(self._settings, error) from error

    def _require_connection(self) -> None:
        if not self._connected:
            raise BrokerUnavailableError(self._trouble)

    async def _in_time(self, waiting: Awaitable[_T]) -> _T:
        try:
            return await asyncio.wait_for(waiting, ANSWER_SECONDS)
        except TimeoutError:
            raise BrokerUnavailableError(
                f"Kafka did not answer within {ANSWER_SECONDS:g} s"
            ) from None

    def _on_store(self, record: Any) -> None:
        try:
            self._stores.add(decode_store(record.value).store_id)
        except RecordError as error:
            log.warning("stores offset %d cannot be read: %s", record.offset, error)
