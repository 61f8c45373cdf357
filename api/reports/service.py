"""Requests reports, returns their state, and fails those that no worker finishes in time."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final

from api.kafka.publisher import acknowledged_at
from stream_app.contracts.partitioning import partition_of
from stream_app.contracts.report_requests import encode_request
from stream_app.contracts.report_results import FINAL, ReportEvent, encode_event
from stream_app.contracts.topics import (
    QUERY_RESULTS,
    REPORT_REQUESTS,
    REPORT_RESULTS,
    STORE_QUERIES,
)
from stream_app.domain.timestamps import MINUTE
from stream_app.durations import format_duration
from stream_app.errors import (
    BrokerUnavailableError,
    OverloadedReportsError,
    ReportContentLostError,
    ReportError,
    ReportNotFoundError,
    WorkersBehindError,
)
from stream_app.periodic import PeriodicTask

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from api.kafka.connection import KafkaConnection
    from api.kafka.notifier import Notifier
    from api.reports.view import ReportState, ReportView, StoredRows
    from stream_app.contracts.report_requests import ReportRequestRecord, UserRequest
    from stream_app.contracts.topics import TopicSpec
    from stream_app.settings import Settings

log = logging.getLogger(__name__)

MAX_OPEN_REPORTS: Final = 10_000
"""The largest number of pending and running reports of all clients together."""

QUERY_SECONDS: Final = 15.0
"""Seconds after which a query has no answer; a rebalance delays it by about ten."""

QUERY_RETENTION: Final = 10 * MINUTE
"""Time for which the result of a query stays in the view, µs: longer than a client waits."""

_DEADLINE_CHECK_SECONDS: Final = 0.25
_DEADLINE_BATCH: Final = 500
"""Overdue reports that are failed between two checks."""

_EXPIRE_EVERY_SECONDS: Final = 60.0


class ReportService:
    """Sends requests to the workers, and knows the state of each report.

    Args:
        settings: deadline and retention.
        clock: the wall clock in µs.
        connection: the connection to Kafka.
        view: the reports, as the topics say.
        read: returns when the view has all that is in its topics now.
        changes: the notifier of every report whose state may have changed.

    Attributes:
        changes: as given.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], int],
        connection: KafkaConnection,
        view: ReportView,
        read: Callable[[], Awaitable[None]],
        changes: Notifier,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._connection = connection
        self._view = view
        self._read = read
        self.changes = changes
        self._deadlines = PeriodicTask("deadlines", _DEADLINE_CHECK_SECONDS, self._fail_overdue)
        self._expired_at = float("-inf")

    async def start(self) -> None:
        """Start to check deadlines."""
        self._deadlines.start()

    async def stop(self) -> None:
        """Stop checking deadlines."""
        await self._deadlines.stop()

    async def request_report(self, request: ReportRequestRecord, *, query: bool = False) -> None:
        """Request a report; returns when the broker has the request.

        Args:
            request: the report that is requested.
            query: whether it is a query, whose result nobody fetches later.

        Raises:
            BrokerUnavailableError: the broker did not acknowledge in time.
        """
        self._connection.require_connected()
        topic = STORE_QUERIES if query else REPORT_REQUESTS
        await self._send(topic, request.key, encode_request(request))
        self._view.apply_request(request, self._clock(), query=query)

    async def answer(
        self, request: ReportRequestRecord, *, patience: float = QUERY_SECONDS
    ) -> ReportState:
        """Send a query and wait for its result.

        Args:
            request: the report that is requested.
            patience: the longest wait for the result, in seconds.

        Returns:
            a complete report.

        Raises:
            BrokerUnavailableError: the broker did not acknowledge in time.
            WorkersBehindError: no worker answered in time.
            ReportError: the report failed.
        """
        with self.changes.subscribe(request.report_id) as changed:
            await self.request_report(request, query=True)
            try:
                async with asyncio.timeout(patience):
                    while True:
                        state = self._view.get(request.report_id)
                        if state is not None and state.status in FINAL:
                            break
                        await changed.wait()
                        changed.clear()
            except TimeoutError:
                raise WorkersBehindError(
                    f"no worker answered within {patience:g} s: it may be starting, or busy"
                ) from None
        if state.status == "failed":
            raise ReportError(state.reason or "it failed")
        return state

    def request_of(self, report_id: str) -> UserRequest | None:
        """Return the request of a report; None if only its result is known."""
        return self._view.request(report_id)

    async def report(self, report_id: str) -> ReportState | None:
        """Return a report as it stands; None if no request and no result of it is known.

        Raises:
            BrokerUnavailableError: the broker did not answer in time.
        """
        state = self._view.get(report_id)
        if state is None:
            self._connection.require_connected()
            # another API process may have accepted the request a moment ago
            await self._connection.bounded_wait(self._read())
            state = self._view.get(report_id)
        return state

    def stored_rows(self, report_id: str) -> StoredRows:
        """Return the rows of a complete report of many stores; see `ReportView.stored_rows`."""
        return self._view.stored_rows(report_id)

    async def require(self, report_id: str) -> ReportState:
        """Return a report as it stands.

        Raises:
            ReportNotFoundError: it was not requested, or it has expired.
            BrokerUnavailableError: the broker did not answer in time.
        """
        state = await self.report(report_id)
        if state is None:
            raise ReportNotFoundError(f"report {report_id} is unknown or expired")
        return state

    def open_reports(self) -> int:
        """Return how many reports are pending or running."""
        return self._view.open_count()

    def require_capacity(self) -> None:
        """Raise an error unless one more report may wait.

        Raises:
            OverloadedReportsError: too many reports are waiting.
        """
        if self.open_reports() >= MAX_OPEN_REPORTS:
            raise OverloadedReportsError(f"{MAX_OPEN_REPORTS} reports are waiting already")

    async def _fail_overdue(self) -> None:
        """Fail the overdue reports; the result of a worker wins if it comes first."""
        if self._connection.unavailable_reason is not None:
            return
        now = self._clock()
        overdue = self._view.overdue(now - self._settings.report_deadline, _DEADLINE_BATCH)
        try:
            for report_id, query in overdue:
                await self._fail(report_id, now, QUERY_RESULTS if query else REPORT_RESULTS)
            if overdue:
                # a worker may have been quicker: what counts is the order in the topic
                await self._connection.bounded_wait(self._read())
        except BrokerUnavailableError as error:
            log.warning("%d reports are overdue, to be failed later: %s", len(overdue), error)
        if time.monotonic() - self._expired_at >= _EXPIRE_EVERY_SECONDS:
            self._expired_at = time.monotonic()
            self._view.expire(now - self._settings.report_retention, now - QUERY_RETENTION)

    async def _fail(self, report_id: str, now: int, results: TopicSpec) -> None:
        event = ReportEvent(
            report_id,
            "failed",
            now,
            reason="no worker answered within the deadline of "
            f"{format_duration(self._settings.report_deadline)}",
        )
        await self._send(results, report_id, encode_event(event))

    async def _send(self, topic: TopicSpec, key: str, value: bytes) -> None:
        partition = partition_of(key.encode(), topic.partitions(self._settings))
        await acknowledged_at(
            self._connection.send(topic, partition, key.encode(), value, at_once=True)
        )


def content_lost(report_id: str) -> ReportContentLostError:
    """Return the error of a complete report whose content is gone."""
    return ReportContentLostError(
        f"report {report_id} is complete but its content is gone; trigger a new one"
    )
