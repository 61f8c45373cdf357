"""Report requests and queries, answered from the table: reports on one topic, queries on another.

Each request has a task of its own, so that one that waits delays no other, and is acknowledged
when its final status is in Kafka. A request whose partition is revoked while it waits goes back
to the topic with its original time, for the next owner.

A report of many stores has three steps: the worker that reads its request asks the owner of every
partition for a part, of one reference time; each owner publishes the rows of its part; readers put
them together (see `fleet_reports` and docs/design/fleet-report.md).
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

from stream_app.contracts.partitioning import partition_of
from stream_app.contracts.report_requests import (
    FleetPartRequest,
    FleetRequest,
    ReportRequest,
    decode_request,
    encode_request,
    original_request_time,
    report_id_of,
    with_original_time,
)
from stream_app.contracts.report_results import ReportEvent
from stream_app.contracts.topics import results_of
from stream_app.durations import format_duration
from stream_app.errors import RecordError, ReportError, RevokedError, TableError
from stream_app.worker.agents.fleet_reports import FleetReports
from stream_app.worker.agents.messages import append_time_of, log_dead_letter, unreadable_in
from stream_app.worker.commit_tracker import acknowledge_when_done

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_app.contracts.report_requests import ReportRequestRecord
    from stream_app.contracts.topics import TopicSpec
    from stream_app.errors import OnFatalError
    from stream_app.settings import Settings
    from stream_app.worker.agents.caught_up_facts import CaughtUpFacts
    from stream_app.worker.commit_tracker import CommitTracker, InFlightEvent
    from stream_app.worker.owned_partitions import OwnedPartition
    from stream_app.worker.publisher import Publisher

log = logging.getLogger(__name__)

MAX_AT_ONCE: Final = 64
"""Requests that a worker handles at once; further ones wait in the topic."""


class Reports:
    """The agent of `report-requests` and of `store-queries`.

    Args:
        settings: partitions and deadline.
        facts: the facts of the partitions.
        publisher: sends statuses, dead letters and forwarded requests.
        clock: the wall clock in µs.
        commit_tracker: tracks the events until they are acknowledged.
        on_fatal_error: see `OnFatalError`.
    """

    def __init__(
        self,
        settings: Settings,
        facts: CaughtUpFacts,
        publisher: Publisher,
        clock: Callable[[], int],
        commit_tracker: CommitTracker,
        on_fatal_error: OnFatalError,
    ) -> None:
        self._settings = settings
        self._facts = facts
        self._fleet_reports = FleetReports(facts, publisher, clock, settings.partitions)
        self._publisher = publisher
        self._clock = clock
        self._commit_tracker = commit_tracker
        self._on_fatal_error = on_fatal_error
        self._slots = asyncio.Semaphore(MAX_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()

    async def requests(self, stream: Any) -> None:
        """Process the requests of one of the topics, each in a task of its own."""
        stream.enable_acks = False
        async for event in stream.events():
            tracked = self._commit_tracker.track(event)
            await self._slots.acquire()
            task = asyncio.create_task(self._handle(tracked))
            self._tasks.add(task)
            task.add_done_callback(self._on_done)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._slots.release()
        if not task.cancelled() and task.exception() is not None:
            self._on_fatal_error(task.exception() or RuntimeError("no exception"))

    async def _handle(self, event: InFlightEvent) -> None:
        message = event.message
        append_time = append_time_of(message)
        results = results_of(message.topic)
        unreadable = unreadable_in(message)
        if unreadable is not None:
            dead_letter = log_dead_letter(unreadable, unreadable.reason)
            acknowledge_when_done(
                event,
                [await self._publisher.publish_dead_letter(dead_letter)],
                self._on_fatal_error,
            )
            return
        try:
            request = decode_request(message.value)
        except RecordError as error:
            await self._reject(event, str(error), append_time)
            return
        except Exception as error:
            log.exception("%s/%d/%d", message.topic, message.partition, message.offset)
            await self._reject(event, f"internal error: {error!r}", append_time)
            return
        partition = self._partition(request, message.partition)
        if partition != message.partition:
            await self._forward(event, request, partition, append_time)
            return
        try:
            async with asyncio.timeout(self._remaining_seconds(request, append_time)):
                futures = await self._answer(request, event, append_time)
        except RevokedError:
            await self._forward(event, request, message.partition, append_time)
            return
        except TimeoutError:
            futures = await self._failed(
                results,
                request.report_id,
                "not complete within the deadline of "
                f"{format_duration(self._settings.report_deadline)}",
            )
        except TableError:
            # the request stays unacknowledged: the next owner of the partition answers it
            raise
        except ReportError as error:
            futures = await self._failed(results, request.report_id, str(error))
        except Exception as error:
            log.exception("report %s", request.report_id)
            futures = await self._failed(results, request.report_id, f"internal error: {error!r}")
        acknowledge_when_done(event, futures, self._on_fatal_error)

    def _partition(self, request: ReportRequestRecord, here: int) -> int:
        """Return the partition whose owner can answer a request."""
        match request:
            case ReportRequest():
                return partition_of(request.store_id.encode(), self._settings.partitions)
            case FleetPartRequest() if request.part < self._settings.partitions:
                return request.part
            case _:
                return here

    async def _answer(
        self, request: ReportRequestRecord, event: InFlightEvent, append_time: int
    ) -> list[asyncio.Future[Any]]:
        """Answer a request; the answer is complete when the futures are done."""
        topic, partition = event.message.topic, event.message.partition
        results = results_of(topic)
        if not isinstance(request, FleetPartRequest):
            # the request of a part comes after the status of its report
            running = ReportEvent(request.report_id, "running", self._clock())
            await self._publisher.publish_report_event(running, results)
        owned = await self._facts.partition(partition)
        match request:
            case FleetPartRequest():
                return await self._fleet_reports.publish_part(owned, request, results)
            case FleetRequest():
                return await self._fleet_reports.request_parts(request, append_time, topic)
            case ReportRequest():
                reference = self._facts.reference_time(request, append_time)
                return [await self._publish_report(owned, request, reference, results)]

    async def _publish_report(
        self, owned: OwnedPartition, request: ReportRequest, reference: int, results: TopicSpec
    ) -> asyncio.Future[Any]:
        calculator = self._facts.calculator(owned, request.spec, reference)
        document = calculator.document(request.store_id, request.details)
        event = ReportEvent(request.report_id, "complete", self._clock(), report=document)
        return await self._publisher.publish_report_event(event, results)

    def _remaining_seconds(self, request: ReportRequestRecord, append_time: int) -> float:
        overdue_at = original_request_time(request, append_time) + self._settings.report_deadline
        return (overdue_at - self._clock()) / 1_000_000

    async def _failed(
        self, results: TopicSpec, report_id: str, reason: str
    ) -> list[asyncio.Future[Any]]:
        log.info("report %s failed: %s", report_id, reason)
        event = ReportEvent(report_id, "failed", self._clock(), reason=reason)
        return [await self._publisher.publish_report_event(event, results)]

    async def _reject(self, event: InFlightEvent, reason: str, append_time: int) -> None:
        message = event.message
        futures = [await self._publisher.publish_dead_letter(log_dead_letter(message, reason))]
        report_id = _report_id_of(message.value)
        if report_id is not None:
            failed = ReportEvent(report_id, "failed", append_time, reason=reason)
            futures.append(
                await self._publisher.publish_report_event(failed, results_of(message.topic))
            )
        acknowledge_when_done(event, futures, self._on_fatal_error)

    async def _forward(
        self, event: InFlightEvent, request: ReportRequestRecord, partition: int, append_time: int
    ) -> None:
        forwarded = encode_request(with_original_time(request, append_time))
        topic = event.message.topic
        sent = await self._publisher.forward(topic, partition, request.key, forwarded)
        acknowledge_when_done(event, [sent], self._on_fatal_error)


def _report_id_of(value: bytes | None) -> str | None:
    try:
        return report_id_of(value)
    except Exception:  # noqa: BLE001  the error that made the request an internal error may come again
        return None
