"""Report requests and queries, answered from the table: reports on one topic, queries on another.

Each request is handled in a task of its own, so that one that waits keeps no other back,
and is acknowledged when its final status is in Kafka. A request whose partition is taken
away while it waits goes back to the topic with its original time, for the next owner.

A report of many stores comes in three steps: who takes its request asks every partition's owner
for a part, of one reference time; each owner tells the rows of its part; readers put them together
(see docs/design/fleet-report.md).
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

from stream_app.contracts.partitioning import partition_of
from stream_app.contracts.report_requests import (
    FleetRequest,
    PartRequest,
    ReportRequest,
    asked_again,
    asked_at,
    decode_request,
    encode_request,
    report_id_of,
)
from stream_app.contracts.report_results import Piece, ReportEvent, further_fields, report_rows
from stream_app.contracts.store_details import details_content
from stream_app.contracts.topics import SOURCE_TOPICS, results_of
from stream_app.domain.timestamps import DAY
from stream_app.durations import format_duration
from stream_app.errors import (
    BrokerUnavailableError,
    RecordError,
    ReportError,
    RevokedError,
    TableError,
)
from stream_app.worker.agents.messages import dead_letter_of, taken_at, unreadable_in
from stream_app.worker.agents.report_calculator import Calculation
from stream_app.worker.commit_tracker import acknowledge_when_done
from stream_app.worker.facts.keys import store_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from stream_app.contracts.report_requests import AnyRequest
    from stream_app.contracts.report_results import Row
    from stream_app.contracts.topics import TopicSpec
    from stream_app.domain.report_spec import ReportSpec
    from stream_app.kafka.applied_offsets import AppliedOffsets
    from stream_app.settings import Settings
    from stream_app.worker.commit_tracker import CommitTracker, InFlightEvent
    from stream_app.worker.owned_partitions import OwnedPartition, OwnedPartitions
    from stream_app.worker.publisher import Publisher

log = logging.getLogger(__name__)

MAX_AT_ONCE: Final = 64
"""Requests that a worker handles at once; further ones wait in the topic."""

PIECE_ROWS: Final = 2_000
"""That one record carries: some 250 kB."""

MAX_PART_ROWS: Final = 2_000_000
"""Of one partition in a report by days: some 300 MB in Kafka, and in the file of every API process.
A report with one row a store has no such bound: there are no more rows than stores."""

TURN_STORES: Final = 50
"""Stores that are measured between two looks at everything else."""

_RETRY_SECONDS: Final = 0.5


class Reports:
    """The agent of `report-requests` and of `store-queries`.

    Args:
        settings: clock, deadline, lookback, defaults.
        owned_partitions: which partitions can be read.
        progress: what all workers have applied.
        publisher: where statuses go.
        clock: the wall clock in µs.
        commit_tracker: where events are taken.
        fail: called with an error after which this worker must not go on.
    """

    def __init__(
        self,
        settings: Settings,
        owned_partitions: OwnedPartitions,
        progress: AppliedOffsets,
        publisher: Publisher,
        clock: Callable[[], int],
        commit_tracker: CommitTracker,
        fail: Callable[[BaseException], None],
    ) -> None:
        self._settings = settings
        self._owned_partitions = owned_partitions
        self._progress = progress
        self._publisher = publisher
        self._clock = clock
        self._commit_tracker = commit_tracker
        self._fail = fail
        self._places = asyncio.Semaphore(MAX_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()

    async def requests(self, stream: Any) -> None:
        """The agent of one of the topics."""
        stream.enable_acks = False
        async for event in stream.events():
            taken = self._commit_tracker.track(event)
            await self._places.acquire()
            task = asyncio.create_task(self._handle(taken))
            self._tasks.add(task)
            task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._places.release()
        if not task.cancelled() and task.exception() is not None:
            self._fail(task.exception() or RuntimeError("no exception"))

    async def _handle(self, event: InFlightEvent) -> None:
        message = event.message
        taken = taken_at(message)
        results = results_of(message.topic)
        unreadable = unreadable_in(message)
        if unreadable is not None:
            letter = dead_letter_of(unreadable, unreadable.reason)
            acknowledge_when_done(
                event, [await self._publisher.publish_dead_letter(letter)], self._fail
            )
            return
        try:
            request = decode_request(message.value)
        except RecordError as error:
            await self._refuse(event, str(error), taken)
            return
        except Exception as error:
            log.exception("%s/%d/%d", message.topic, message.partition, message.offset)
            await self._refuse(event, f"internal error: {error!r}", taken)
            return
        right = self._partition(request, message.partition)
        if right != message.partition:
            await self._pass_on(event, request, right, taken)
            return
        try:
            async with asyncio.timeout(self._remaining_seconds(request, taken)):
                futures = await self._answer(request, event, taken)
        except RevokedError:
            await self._pass_on(event, request, message.partition, taken)
            return
        except TimeoutError:
            futures = await self._failed(
                results,
                request.report_id,
                "not complete within the deadline of "
                f"{format_duration(self._settings.report_deadline)}",
            )
        except TableError:
            # the request stays unacknowledged: whoever owns the partition next answers it
            raise
        except ReportError as error:
            futures = await self._failed(results, request.report_id, str(error))
        except Exception as error:
            log.exception("report %s", request.report_id)
            futures = await self._failed(results, request.report_id, f"internal error: {error!r}")
        acknowledge_when_done(event, futures, self._fail)

    def _partition(self, request: AnyRequest, here: int) -> int:
        """The partition whose owner can answer a request."""
        match request:
            case ReportRequest():
                return partition_of(request.store_id.encode(), self._settings.partitions)
            case PartRequest() if request.part < self._settings.partitions:
                return request.part
            case _:
                return here

    async def _answer(
        self, request: AnyRequest, event: InFlightEvent, taken: int
    ) -> list[asyncio.Future[Any]]:
        """Do what a request asks for; done when all of it is in Kafka."""
        topic, partition = event.message.topic, event.message.partition
        results = results_of(topic)
        if not isinstance(request, PartRequest):
            # of a part it has been told
            running = ReportEvent(request.report_id, "running", self._clock())
            await self._publisher.publish_report_event(running, results)
        owned = self._owned_partitions.get(partition)
        if owned is None:
            raise RevokedError(f"partition {partition} is not owned here now")
        await _or_revoked(owned, self._catch_up(owned))
        match request:
            case PartRequest():
                return await self._tell_part(owned, request, results)
            case FleetRequest():
                reference = self._reference(request, taken)
                return await self._ask_for_parts(request, reference, taken, topic)
            case ReportRequest():
                reference = self._reference(request, taken)
                return [await self._tell(owned, request, reference, results)]

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

    def _reference(self, request: ReportRequest | FleetRequest, taken: int) -> int:
        if request.reference_time is not None:
            return request.reference_time
        if self._settings.reference_clock == "wall":
            return taken
        newest = self._progress.newest_poll()
        if newest is None:
            raise ReportError(
                "no poll of any store has come in yet, and the request names no reference_time"
            )
        return newest

    async def _tell(
        self, owned: OwnedPartition, request: ReportRequest, reference: int, results: TopicSpec
    ) -> asyncio.Future[Any]:
        calculation = self._calculation(owned, request.form, reference)
        calculated = calculation.of(request.store_id)
        content = calculation.content(calculated) | details_content(
            request.details,
            calculated.observed,
            calculated.tz,
            owned.newest_polls.get(store_key(request.store_id)),
        )
        event = ReportEvent(request.report_id, "complete", self._clock(), report=content)
        return await self._publisher.publish_report_event(event, results)

    async def _ask_for_parts(
        self, request: FleetRequest, reference: int, taken: int, topic: str
    ) -> list[asyncio.Future[Any]]:
        parts: dict[int, tuple[str, ...] | None] = dict.fromkeys(range(self._settings.partitions))
        if request.store_ids is not None:
            named: defaultdict[int, list[str]] = defaultdict(list)
            for store_id in request.store_ids:
                named[partition_of(store_id.encode(), self._settings.partitions)].append(store_id)
            parts = {part: tuple(store_ids) for part, store_ids in named.items()}
        # refused here, not once a part
        request.form.span(reference)
        asked = [
            PartRequest(
                request.report_id,
                part,
                len(parts),
                reference,
                asked_at(request, taken),
                store_ids,
                request.form,
            )
            for part, store_ids in parts.items()
        ]
        return [
            await self._publisher.forward(topic, part.part, request.key, encode_request(part))
            for part in asked
        ]

    async def _tell_part(
        self, owned: OwnedPartition, request: PartRequest, results: TopicSpec
    ) -> list[asyncio.Future[Any]]:
        if request.part != owned.number:
            raise ReportError(f"there is no partition {request.part}")
        # by key: as texts they would take four times the memory
        keys = (
            sorted(owned.stores)
            if request.store_ids is None
            else [store_key(store_id) for store_id in request.store_ids]
        )
        rows_each = _most_rows(request.form, request.reference_time)
        if rows_each > 1 and len(keys) * rows_each > MAX_PART_ROWS:
            raise ReportError(
                f"{len(keys):,} stores of one partition by {rows_each} days are more than "
                f"{MAX_PART_ROWS:,} rows: ask for a shorter time, or name fewer stores"
            )
        stores = max(1, PIECE_ROWS // rows_each)
        # a part without stores is told too: the report is complete without it only then
        pieces = -(-len(keys) // stores) or 1
        attempt = str(uuid4())
        calculation = self._calculation(owned, request.form, request.reference_time)
        futures = []
        for piece in range(pieces):
            rows: list[Row] = []
            for turn in _turns(keys[piece * stores : (piece + 1) * stores]):
                for store in turn:
                    if request.store_ids is None and store not in owned.stores:
                        # removed meanwhile
                        continue
                    calculated = calculation.of(str(UUID(bytes=store)))
                    rows += report_rows(calculated.rows, calculated.store)
                await asyncio.sleep(0)
                if owned.revoked.is_set():
                    raise RevokedError(f"partition {owned.number} was revoked")
            told = Piece(
                part=request.part,
                parts=request.parts,
                attempt=attempt,
                piece=piece,
                pieces=pieces,
                reference_time=request.reference_time,
                rows=rows,
                basis=calculation.basis,
                input_offsets=calculation.input_offsets,
                columns=request.form.columns,
                further=further_fields(request.form),
                lost_input=tuple(calculation.lost_input),
            )
            event = ReportEvent(request.report_id, "running", self._clock(), piece=told)
            futures.append(await self._publisher.publish_report_event(event, results))
        return futures

    def _calculation(self, owned: OwnedPartition, form: ReportSpec, reference: int) -> Calculation:
        return Calculation(self._settings, owned, form, reference)

    def _remaining_seconds(self, request: AnyRequest, taken: int) -> float:
        overdue_at = asked_at(request, taken) + self._settings.report_deadline
        return (overdue_at - self._clock()) / 1_000_000

    async def _failed(
        self, results: TopicSpec, report_id: str, reason: str
    ) -> list[asyncio.Future[Any]]:
        log.info("report %s failed: %s", report_id, reason)
        event = ReportEvent(report_id, "failed", self._clock(), reason=reason)
        return [await self._publisher.publish_report_event(event, results)]

    async def _refuse(self, event: InFlightEvent, reason: str, taken: int) -> None:
        message = event.message
        futures = [await self._publisher.publish_dead_letter(dead_letter_of(message, reason))]
        report_id = _report_id_of(message.value)
        if report_id is not None:
            failed = ReportEvent(report_id, "failed", taken, reason=reason)
            futures.append(
                await self._publisher.publish_report_event(failed, results_of(message.topic))
            )
        acknowledge_when_done(event, futures, self._fail)

    async def _pass_on(
        self, event: InFlightEvent, request: AnyRequest, partition: int, taken: int
    ) -> None:
        again = encode_request(asked_again(request, taken))
        topic = event.message.topic
        sent = await self._publisher.forward(topic, partition, request.key, again)
        acknowledge_when_done(event, [sent], self._fail)


def _most_rows(form: ReportSpec, reference: int) -> int:
    """Rows that one store may have."""
    start, end = form.span(reference)
    # a span that begins and ends within a day touches one more
    return (end - start) // DAY + 2 if form.daily else 1


def _turns(stores: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(stores), TURN_STORES):
        yield stores[start : start + TURN_STORES]


def _report_id_of(value: bytes | None) -> str | None:
    try:
        return report_id_of(value)
    except Exception:  # noqa: BLE001  whatever made the request an internal error
        return None


async def _or_revoked(owned: OwnedPartition, waiting: Any) -> None:
    """Wait, but give up when the partition is taken away.

    Raises:
        RevokedError: it was.
    """
    wait = asyncio.ensure_future(waiting)
    revoked = asyncio.ensure_future(owned.revoked.wait())
    try:
        await asyncio.wait({wait, revoked}, return_when=asyncio.FIRST_COMPLETED)
        if owned.revoked.is_set():
            raise RevokedError(f"partition {owned.number} was revoked")
        wait.result()
    finally:
        wait.cancel()
        revoked.cancel()
