"""Report requests, answered from the table.

Each request is handled in a task of its own, so that one that waits keeps no other back,
and is acknowledged when its final status is in Kafka. A request whose partition is taken
away while it waits goes back to the topic with its original time, for the next owner.
"""

from __future__ import annotations

import asyncio
import logging
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from stream_app.agents.acknowledge import acknowledge_when_done
from stream_app.agents.messages import dead_letter_of, taken_at
from stream_app.contracts.partitioning import partition_of
from stream_app.contracts.reports import (
    ReportEvent,
    ReportRequest,
    decode_request,
    encode_request,
    report_content,
    report_id_of,
)
from stream_app.contracts.topics import REPORT_REQUESTS, SOURCE_TOPICS
from stream_app.domain.buckets import BucketLayout
from stream_app.domain.hours import ALWAYS_OPEN, WeeklyHours
from stream_app.domain.instants import WEEK
from stream_app.domain.report import StoreReport
from stream_app.domain.uptime import measure
from stream_app.domain.zones import zone
from stream_app.errors import BrokerUnavailableError, RecordError, ReportError, TableError
from stream_app.settings import format_duration
from stream_app.tables import HOURS_TAG, ZONE_TAG, bucket_reader, decode_rows, store_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_app.agents.committable import Committable, TakenEvent
    from stream_app.agents.outbox import Outbox
    from stream_app.agents.ownership import OwnedPartition, Ownership
    from stream_app.kafka.progress import Progress
    from stream_app.settings import Settings
    from stream_app.tables import FactsTable

log = logging.getLogger(__name__)

MAX_AT_ONCE: Final = 64
"""Requests that a worker handles at once; further ones wait in the topic."""

_RETRY_SECONDS: Final = 0.5


class _ReleasedError(Exception):
    """The partition was taken away while the request waited."""


class Reports:
    """The agent of `report-requests`.

    Args:
        settings: clock, deadline, lookback, defaults.
        facts: the table.
        ownership: which partitions can be read.
        progress: what all workers have applied.
        outbox: where statuses go.
        clock: the wall clock in µs.
        committable: where events are taken.
        fail: called with an error after which this worker must not go on.
    """

    def __init__(
        self,
        settings: Settings,
        facts: FactsTable,
        ownership: Ownership,
        progress: Progress,
        outbox: Outbox,
        clock: Callable[[], int],
        committable: Committable,
        fail: Callable[[BaseException], None],
    ) -> None:
        self._settings = settings
        self._layout = BucketLayout(settings.retention)
        self._facts = facts
        self._ownership = ownership
        self._progress = progress
        self._outbox = outbox
        self._clock = clock
        self._committable = committable
        self._fail = fail
        self._places = asyncio.Semaphore(MAX_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()

    async def requests(self, stream: Any) -> None:
        """The agent."""
        stream.enable_acks = False
        async for event in stream.events():
            taken = self._committable.take(event)
            await self._places.acquire()
            task = asyncio.create_task(self._handle(taken))
            self._tasks.add(task)
            task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._places.release()
        if not task.cancelled() and task.exception() is not None:
            self._fail(task.exception() or RuntimeError("no exception"))

    async def _handle(self, event: TakenEvent) -> None:
        message = event.message
        taken = taken_at(message)
        try:
            request = decode_request(message.value)
        except RecordError as error:
            await self._refuse(event, str(error), taken)
            return
        except Exception as error:
            log.exception("%s/%d/%d", message.topic, message.partition, message.offset)
            await self._refuse(event, f"internal error: {error!r}", taken)
            return
        right = partition_of(request.store_id.encode(), self._settings.partitions)
        if right != message.partition:
            await self._pass_on(event, request, right, taken)
            return
        try:
            async with asyncio.timeout(self._remaining_seconds(request, taken)):
                final = await self._answer(request, message.partition, taken)
        except _ReleasedError:
            await self._pass_on(event, request, message.partition, taken)
            return
        except TimeoutError:
            final = self._failed(
                request.report_id,
                "not complete within the deadline of "
                f"{format_duration(self._settings.report_deadline)}",
            )
        except TableError:
            # the request stays unacknowledged: whoever owns the partition next answers it
            raise
        except ReportError as error:
            final = self._failed(request.report_id, str(error))
        except Exception as error:
            log.exception("report %s", request.report_id)
            final = self._failed(request.report_id, f"internal error: {error!r}")
        acknowledge_when_done(event, [await self._outbox.report(final)], self._fail)

    async def _answer(self, request: ReportRequest, partition: int, taken: int) -> ReportEvent:
        await self._outbox.report(ReportEvent(request.report_id, "running", self._clock()))
        owned = self._ownership.get(partition)
        if owned is None:
            raise _ReleasedError
        await _unless_lost(owned, self._catch_up(owned))
        reference = request.reference_time
        if reference is None:
            reference = self._reference(taken)
        return ReportEvent(
            request.report_id,
            "complete",
            self._clock(),
            report=self._report(owned, request.store_id, reference),
        )

    async def _catch_up(self, owned: OwnedPartition) -> None:
        while True:
            try:
                highwaters = await self._progress.catch_up()
            except BrokerUnavailableError as error:
                log.warning("a report waits: %s", error)
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                break
        # A watermark outlives the worker that told it. What a crashed owner had applied, but
        # not yet in the changelog, comes again from the source: wait for our own table too.
        while any(
            owned.applied(spec.name) < highwaters[spec.name, owned.number] for spec in SOURCE_TOPICS
        ):
            owned.moved.clear()
            await owned.moved.wait()

    def _reference(self, taken: int) -> int:
        if self._settings.reference_clock == "wall":
            return taken
        newest = self._progress.newest_poll()
        if newest is None:
            raise ReportError(
                "no poll of any store has come in yet, and the request names no reference_time"
            )
        return newest

    def _report(self, owned: OwnedPartition, store_id: str, reference: int) -> dict[str, Any]:
        store = store_key(store_id)
        if store not in owned.stores:
            raise ReportError(f"store {store_id} is unknown: no poll, hours or zone names it")
        settings = self._settings

        read = bucket_reader(self._facts, owned.number, store)
        hours = self._facts.get(owned.number, store + HOURS_TAG)
        name = self._facts.get(owned.number, store + ZONE_TAG)
        tz = zone(name.decode() if name else None, settings.default_timezone)
        first = reference - WEEK - settings.lookback
        asked = self._layout.buckets(first, reference, owned.kinds)
        polls = self._layout.polls(first, reference, [(bucket, read(bucket)) for bucket in asked])
        figures = measure(
            ALWAYS_OPEN if hours is None else _weekly_hours(hours),
            tz,
            polls,
            reference,
            lookback=settings.lookback,
            default_active=settings.default_active,
        )
        return report_content(
            StoreReport.from_figures(store_id, reference, figures),
            timezone=str(tz),
            lookback=format_duration(settings.lookback),
            default_status=settings.default_status,
            polls_counted=figures.polls_counted,
        )

    def _remaining_seconds(self, request: ReportRequest, taken: int) -> float:
        return (
            request.asked_at(taken) + self._settings.report_deadline - self._clock()
        ) / 1_000_000

    def _failed(self, report_id: str, reason: str) -> ReportEvent:
        log.info("report %s failed: %s", report_id, reason)
        return ReportEvent(report_id, "failed", self._clock(), reason=reason)

    async def _refuse(self, event: TakenEvent, reason: str, taken: int) -> None:
        message = event.message
        futures = [await self._outbox.dead_letter(dead_letter_of(message, reason))]
        report_id = _report_id_of(message.value)
        if report_id is not None:
            failed = ReportEvent(report_id, "failed", taken, reason=reason)
            futures.append(await self._outbox.report(failed))
        acknowledge_when_done(event, futures, self._fail)

    async def _pass_on(
        self, event: TakenEvent, request: ReportRequest, partition: int, taken: int
    ) -> None:
        again = ReportRequest(
            request.report_id,
            request.store_id,
            request.reference_time,
            request.asked_at(taken),
        )
        sent = await self._outbox.pass_on(
            REPORT_REQUESTS.name, partition, request.store_id, encode_request(again)
        )
        acknowledge_when_done(event, [sent], self._fail)


def _report_id_of(value: bytes | None) -> str | None:
    try:
        return report_id_of(value)
    except Exception:  # noqa: BLE001  whatever made the request an internal error
        return None


@lru_cache(maxsize=16_384)
def _weekly_hours(value: bytes) -> WeeklyHours:
    return WeeklyHours.from_rows(decode_rows(value))


async def _unless_lost(owned: OwnedPartition, waiting: Any) -> None:
    """Wait, but give up when the partition is taken away.

    Raises:
        _ReleasedError: it was.
    """
    wait = asyncio.ensure_future(waiting)
    lost = asyncio.ensure_future(owned.lost.wait())
    try:
        await asyncio.wait({wait, lost}, return_when=asyncio.FIRST_COMPLETED)
        if owned.lost.is_set():
            raise _ReleasedError
        wait.result()
    finally:
        wait.cancel()
        lost.cancel()
