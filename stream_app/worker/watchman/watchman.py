"""Recomputes a few stores in each round, and logs what differs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from stream_app.contracts.dead_letters import decode_dead_letter
from stream_app.contracts.partitioning import partition_of
from stream_app.contracts.polls import decode_poll_batch
from stream_app.contracts.topics import DEAD_LETTERS, SOURCE_TOPICS, STORE_STATUS
from stream_app.domain.timestamps import SECOND, format_instant
from stream_app.errors import RecordError, ReportError
from stream_app.explain.comparison import compare
from stream_app.explain.reported import reported_result
from stream_app.explain.source_records import read_source_records
from stream_app.kafka.clients import start, stop, unavailable
from stream_app.periodic import PeriodicTask
from stream_app.worker.agents.report_calculator import ReportCalculator
from stream_app.worker.watchman.recent_records import (
    NotComparableError,
    RecentRecords,
    new_consumer,
)
from stream_app.worker.watchman.window import choose_window, known_from, reading_span

if TYPE_CHECKING:
    from stream_app.errors import OnFatalError
    from stream_app.explain.reported import ReportedResult
    from stream_app.settings import Settings
    from stream_app.worker.metrics import CheckOutcome, WorkerMetrics
    from stream_app.worker.owned_partitions import OwnedPartition, OwnedPartitions
    from stream_app.worker.watchman.window import Window

log = logging.getLogger(__name__)

ROUND_STORES: Final = 3
"""Stores of one partition that are recomputed in a round."""

ROUND_BYTES: Final = 64 << 20
"""Bytes that a round reads of `store-status`, where they hold enough time to compare."""

ROUND_SECONDS: Final = 1800.0
"""Seconds after which a round ends unfinished."""

TRIES: Final = 3
"""A store differs only when it does so this often: what is being applied may be in or not."""

SHOWN_DIFFERENCES: Final = 5
"""Figures that the line about a difference names."""

LOOKED_AT_RECORDS: Final = 50
"""Records of a store whose polls may become reference times."""

_FIRST_RECORD_BYTES: Final = 200
_DEAD_LETTERS: Final = TopicPartition(DEAD_LETTERS.name, 0)

NewConsumer = Callable[["Settings"], Any]


@dataclass(frozen=True, slots=True)
class _Round:
    """The input of one round.

    Attributes:
        number: the partition.
        consumer: the client that reads.
        records: the records of the chosen stores.
        first: the offset of `store-status` from which on it is read.
        known: the time from which on no poll is missing in what was read, µs.
    """

    number: int
    consumer: Any
    records: RecentRecords
    first: int
    known: int

    @property
    def status(self) -> TopicPartition:
        """Return the partition of the polls."""
        return TopicPartition(STORE_STATUS.name, self.number)


class Watchman:
    """Compares, at low priority, what the table says with what the topics say.

    A round chooses one owned partition and some of its stores, reads their records from the
    topics at a bounded rate, and recomputes a report of each. It holds nothing up: it may be
    interrupted at any point, and a partition that is revoked meanwhile only ends the round.

    Args:
        settings: how often, and how to reach the broker.
        owned_partitions: knows which partitions this worker owns.
        metrics: counts the checks.
        clock: the wall clock in µs.
        consumer: makes the client that reads.
        random: chooses partitions, stores and times.
    """

    def __init__(
        self,
        settings: Settings,
        owned_partitions: OwnedPartitions,
        metrics: WorkerMetrics,
        clock: Callable[[], int],
        consumer: NewConsumer = new_consumer,
        random: Random | None = None,
    ) -> None:
        self._settings = settings
        self._owned_partitions = owned_partitions
        self._metrics = metrics
        self._clock = clock
        self._new_consumer = consumer
        self._random = random or Random()  # noqa: S311  no secret
        self._record_bytes = float(_FIRST_RECORD_BYTES)

    def task(self, on_fatal_error: OnFatalError) -> PeriodicTask | None:
        """Make the task that checks some stores at each interval; None if the interval is 0."""
        if not self._settings.watchman:
            return None
        seconds = self._settings.watchman / SECOND
        return PeriodicTask("watchman", seconds, self._check_in_time, on_error=on_fatal_error)

    async def _check_in_time(self) -> None:
        try:
            async with asyncio.timeout(ROUND_SECONDS):
                await self.check_some()
        except TimeoutError:
            log.debug("the watchman ends a round: it takes too long")
            self._metrics.watchman_checked("not_comparable")

    async def check_some(self) -> None:
        """Check some stores of one owned partition.

        Raises:
            BrokerUnavailableError: the broker does not answer.
            TableError: the database cannot be read.
        """
        owned = [
            partition
            for number in range(self._settings.partitions)
            if (partition := self._owned_partitions.get(number)) is not None and partition.stores
        ]
        if not owned:
            return
        partition = self._random.choice(owned)
        store_ids = self._choose_stores(partition)
        consumer = self._new_consumer(self._settings)
        try:
            # stopping the watchman may cancel this too
            await start(consumer, self._settings)
            checks = await self._read(partition.number, consumer, store_ids)
            for store_id in store_ids:
                self._metrics.watchman_checked(await self._check(checks, store_id))
        except NotComparableError as error:
            log.debug("the watchman gives a round up: %s", error)
            self._metrics.watchman_checked("not_comparable")
        finally:
            await stop(consumer)

    def _choose_stores(self, owned: OwnedPartition) -> list[str]:
        chosen = self._random.sample(tuple(owned.stores), min(ROUND_STORES, len(owned.stores)))
        store_ids = [str(UUID(bytes=store)) for store in chosen]
        # only the partition of a store's key is where `explain` looks
        return [
            store_id
            for store_id in store_ids
            if partition_of(store_id.encode(), self._settings.partitions) == owned.number
        ]

    async def _read(self, number: int, consumer: Any, store_ids: list[str]) -> _Round:
        """Read the records of some stores; slowly, so a round takes a minute where there are many.

        Raises:
            NotComparableError: the topics do not hold what is needed.
            BrokerUnavailableError: the broker does not answer.
        """
        status = TopicPartition(STORE_STATUS.name, number)
        first, end = await self._range(consumer, status)
        records = RecentRecords(consumer, store_ids)
        await records.read_to(status, first, end)
        if records.read_records:
            self._record_bytes = records.read_bytes / records.read_records
        known = known_from(
            records.first_append_time(status), first, self._settings.future_tolerance
        )
        checks = _Round(number, consumer, records, first, known)
        await self._read_newest(checks)
        return checks

    async def _read_newest(self, checks: _Round) -> None:
        """Read on to the end of every source topic: whatever is in the table stands before it."""
        for spec in SOURCE_TOPICS:
            place = TopicPartition(spec.name, checks.number)
            oldest, end = await self._bounds(checks.consumer, place)
            first = checks.first if place == checks.status else oldest
            await checks.records.read_to(place, first, end)

    async def _range(self, consumer: Any, status: TopicPartition) -> tuple[int, int]:
        """Choose the offsets to read: as many as a round may, or as a comparison needs at least."""
        oldest, end = await self._bounds(consumer, status)
        affordable = end - int(ROUND_BYTES / self._record_bytes)
        if affordable <= oldest:
            return oldest, end
        needed = self._clock() - reading_span(self._settings.future_tolerance)
        since = await self._first_since(consumer, status, needed)
        return max(oldest, min(affordable, since)), end

    async def _bounds(self, consumer: Any, place: TopicPartition) -> tuple[int, int]:
        try:
            oldest = await consumer.beginning_offsets([place])
            end = await consumer.end_offsets([place])
        except KafkaError as error:
            raise unavailable(self._settings, error) from error
        return oldest[place], end[place]

    async def _first_since(self, consumer: Any, place: TopicPartition, instant: int) -> int:
        """Return the offset of the first record that was appended at an instant (µs) or later."""
        try:
            first = (await consumer.offsets_for_times({place: max(instant, 0) // 1000}))[place]
        except KafkaError as error:
            raise unavailable(self._settings, error) from error
        return (await self._bounds(consumer, place))[1] if first is None else int(first.offset)

    async def _check(self, checks: _Round, store_id: str) -> CheckOutcome:
        """Compare a report of a store with what the topics say, and tell what differs."""
        window = self._window(checks, store_id)
        if window is None:
            return "not_comparable"
        for attempt in range(TRIES):
            await asyncio.sleep(attempt)
            reported = self._report_now(checks.number, store_id, window)
            if reported is None:
                return "not_comparable"
            await self._read_newest(checks)
            # minute by minute: too long for the event loop
            outcome, differences = await asyncio.to_thread(self._recompute, checks, reported)
            if outcome == "agrees":
                return outcome
            # a run of polls that is being applied stands in the table before its offsets count
            differing = (reported, differences)
        if outcome == "not_comparable" or await self._has_dead_letter(checks, store_id):
            return "not_comparable"
        _log_difference(checks.number, *differing)
        return "differs"

    def _window(self, checks: _Round, store_id: str) -> Window | None:
        owned = self._owned_partitions.get(checks.number)
        if owned is None or owned.newest_poll is None:
            return None
        records = checks.records.of_store(checks.status, store_id)
        some = self._random.sample(records, min(len(records), LOOKED_AT_RECORDS))
        polls = [instant for record in some for instant in _instants(record)]
        return choose_window(self._settings, checks.known, owned.newest_poll, polls, self._random)

    def _report_now(self, number: int, store_id: str, window: Window) -> ReportedResult | None:
        """Return the result that a report would have now; None if none can be made here.

        Raises:
            TableError: the database cannot be read.
        """
        owned = self._owned_partitions.get(number)
        if owned is None:
            return None
        try:
            document = ReportCalculator(
                window.settings, owned, window.spec, window.reference
            ).document(store_id)
        except ReportError as error:
            log.debug("the watchman cannot check store %s: %s", store_id, error)
            return None
        return reported_result(document, None, self._settings.partitions)

    def _recompute(
        self, checks: _Round, reported: ReportedResult
    ) -> tuple[CheckOutcome, list[str]]:
        """Compare a report with what the topics say; return the outcome and what differs."""
        settings = self._settings
        source = asyncio.run(
            read_source_records(
                checks.records, reported, settings.future_tolerance, settings.earliest_poll
            )
        )
        if reported.hours and not source.hours:
            return "not_comparable", []
        if reported.timezone != settings.default_timezone and not source.timezones:
            return "not_comparable", []
        # a topic that was created again begins at its first offset, and lacks polls that
        # the table holds: such a topic is one that has lost its oldest records
        source.oldest = 1 if checks.first == 0 else 0
        comparison = compare(reported, source, settings.default_timezone)
        if comparison.outcome == "cannot be recomputed":
            return "not_comparable", []
        return comparison.outcome, comparison.reasons

    async def _has_dead_letter(self, checks: _Round, store_id: str) -> bool:
        """Return whether a worker has kept one of the store's records as a dead letter."""
        offsets = {
            (spec.name, checks.number, record.offset)
            for spec in SOURCE_TOPICS
            for record in checks.records.of_store(
                TopicPartition(spec.name, checks.number), store_id
            )
        }
        appended = checks.records.first_append_time(checks.status) or 0
        first = await self._first_since(checks.consumer, _DEAD_LETTERS, appended)
        _, end = await self._bounds(checks.consumer, _DEAD_LETTERS)
        letters = RecentRecords(checks.consumer, [store_id])
        await letters.read_to(_DEAD_LETTERS, first, end)
        return any(
            _place(letter) in offsets for letter in letters.of_store(_DEAD_LETTERS, store_id)
        )


def _instants(record: Any) -> list[int]:
    try:
        batch, _ = decode_poll_batch(record.value)
    except RecordError:
        return []
    return [instant for instant, _ in batch.polls]


def _place(letter: Any) -> tuple[Any, Any, Any] | None:
    """Return the place of a dead letter's original on a topic."""
    try:
        source = decode_dead_letter(letter.value).source
    except RecordError:
        return None
    return source.get("topic"), source.get("partition"), source.get("offset")


def _log_difference(number: int, reported: ReportedResult, differences: list[str]) -> None:
    applied = ", ".join(
        f"{topic} below offset {offset}" for topic, offset in sorted(reported.offsets.items())
    )
    log.error(
        "the watchman finds that the figures of store %s are not what the topics say: %s "
        "(partition %d: %s; reference time %s)",
        reported.store_id,
        _shown(differences),
        number,
        applied,
        format_instant(reported.end),
    )


def _shown(differences: list[str]) -> str:
    more = len(differences) - SHOWN_DIFFERENCES
    shown = "; ".join(differences[:SHOWN_DIFFERENCES])
    return f"{shown}; and {more} more" if more > 0 else shown
