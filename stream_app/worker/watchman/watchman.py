"""Recomputes the figures of a few stores in each round, and logs those that differ."""

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
from stream_app.worker.watchman.window import choose_window, complete_from, reading_span

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
"""Bytes that a round reads of `store-status`; it reads more if a comparison needs it."""

ROUND_SECONDS: Final = 1800.0
"""Seconds after which a round ends unfinished."""

ATTEMPTS: Final = 3
"""Attempts that must all differ before a difference is logged.

A record that is just being applied may be in the table already or not.
"""

SHOWN_DIFFERENCES: Final = 5
"""Most differences that one log line names."""

SAMPLED_RECORDS: Final = 50
"""Most records of a store from whose polls the reference time is chosen."""

_FIRST_RECORD_BYTES: Final = 200
_DEAD_LETTERS: Final = TopicPartition(DEAD_LETTERS.name, 0)

NewConsumer = Callable[["Settings"], Any]


@dataclass(frozen=True, slots=True)
class _RoundInput:
    """The input of one round.

    Attributes:
        number: the partition.
        consumer: the client that reads.
        records: the records of the chosen stores.
        first: the offset of `store-status` at which reading begins.
        complete_since: the time from which on every poll was read, µs.
    """

    number: int
    consumer: Any
    records: RecentRecords
    first: int
    complete_since: int

    @property
    def status_partition(self) -> TopicPartition:
        """Return the partition of the polls."""
        return TopicPartition(STORE_STATUS.name, self.number)


class Watchman:
    """Compares figures from the facts table with figures from the topics, at low priority.

    A round chooses one owned partition and some of its stores, reads their records from the
    topics at a bounded rate, and recomputes a report of each. It delays nothing else: it may be
    cancelled at any point, and a partition that is revoked meanwhile only ends the round.

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
            round_input = await self._read(partition.number, consumer, store_ids)
            for store_id in store_ids:
                self._metrics.watchman_checked(await self._check(round_input, store_id))
        except NotComparableError as error:
            log.debug("the watchman ends a round early: %s", error)
            self._metrics.watchman_checked("not_comparable")
        finally:
            await stop(consumer)

    def _choose_stores(self, owned: OwnedPartition) -> list[str]:
        chosen = self._random.sample(tuple(owned.stores), min(ROUND_STORES, len(owned.stores)))
        store_ids = [str(UUID(bytes=store)) for store in chosen]
        # `explain` reads only the partition that the id of a store gives
        return [
            store_id
            for store_id in store_ids
            if partition_of(store_id.encode(), self._settings.partitions) == owned.number
        ]

    async def _read(self, number: int, consumer: Any, store_ids: list[str]) -> _RoundInput:
        """Read the records of some stores, slowly: a round with many records takes a minute.

        Raises:
            NotComparableError: the topics do not have the records that are needed.
            BrokerUnavailableError: the broker does not answer.
        """
        status = TopicPartition(STORE_STATUS.name, number)
        first, end = await self._range(consumer, status)
        records = RecentRecords(consumer, store_ids)
        await records.read_to(status, first, end)
        if records.read_records:
            self._record_bytes = records.read_bytes / records.read_records
        complete_since = complete_from(
            records.first_append_time(status), first, self._settings.future_tolerance
        )
        round_input = _RoundInput(number, consumer, records, first, complete_since)
        await self._read_newest(round_input)
        return round_input

    async def _read_newest(self, round_input: _RoundInput) -> None:
        """Read every source topic to its end: all records that are in the table lie before it."""
        for spec in SOURCE_TOPICS:
            partition = TopicPartition(spec.name, round_input.number)
            oldest, end = await self._bounds(round_input.consumer, partition)
            first = round_input.first if partition == round_input.status_partition else oldest
            await round_input.records.read_to(partition, first, end)

    async def _range(self, consumer: Any, status: TopicPartition) -> tuple[int, int]:
        """Choose the offsets to read: as many as a round may, or more if a comparison needs it."""
        oldest, end = await self._bounds(consumer, status)
        affordable = end - int(ROUND_BYTES / self._record_bytes)
        if affordable <= oldest:
            return oldest, end
        needed = self._clock() - reading_span(self._settings.future_tolerance)
        since = await self._first_since(consumer, status, needed)
        return max(oldest, min(affordable, since)), end

    async def _bounds(self, consumer: Any, partition: TopicPartition) -> tuple[int, int]:
        try:
            oldest = await consumer.beginning_offsets([partition])
            end = await consumer.end_offsets([partition])
        except KafkaError as error:
            raise unavailable(self._settings, error) from error
        return oldest[partition], end[partition]

    async def _first_since(self, consumer: Any, partition: TopicPartition, instant: int) -> int:
        """Return the offset of the first record that was appended at an instant (µs) or later."""
        try:
            offsets = await consumer.offsets_for_times({partition: max(instant, 0) // 1000})
        except KafkaError as error:
            raise unavailable(self._settings, error) from error
        first = offsets[partition]
        return (await self._bounds(consumer, partition))[1] if first is None else int(first.offset)

    async def _check(self, round_input: _RoundInput, store_id: str) -> CheckOutcome:
        """Compare a report of a store with figures from the topics, and log the differences."""
        window = self._window(round_input, store_id)
        if window is None:
            return "not_comparable"
        for attempt in range(ATTEMPTS):
            await asyncio.sleep(attempt)
            reported = self._report_now(round_input.number, store_id, window)
            if reported is None:
                return "not_comparable"
            await self._read_newest(round_input)
            # it goes minute by minute, which takes too long for the event loop
            outcome, differences = await asyncio.to_thread(self._recompute, round_input, reported)
            if outcome == "agrees":
                return outcome
            # polls that are being applied are in the table before the input offsets include them
            last_difference = (reported, differences)
        if outcome == "not_comparable" or await self._has_dead_letter(round_input, store_id):
            return "not_comparable"
        _log_difference(round_input.number, *last_difference)
        return "differs"

    def _window(self, round_input: _RoundInput, store_id: str) -> Window | None:
        owned = self._owned_partitions.get(round_input.number)
        if owned is None or owned.newest_poll is None:
            return None
        records = round_input.records.of_store(round_input.status_partition, store_id)
        some = self._random.sample(records, min(len(records), SAMPLED_RECORDS))
        polls = [instant for record in some for instant in _instants(record)]
        return choose_window(
            self._settings, round_input.complete_since, owned.newest_poll, polls, self._random
        )

    def _report_now(self, number: int, store_id: str, window: Window) -> ReportedResult | None:
        """Return the figures that a report would have now; None if this worker cannot make one.

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
        self, round_input: _RoundInput, reported: ReportedResult
    ) -> tuple[CheckOutcome, list[str]]:
        """Compare a report with figures from the topics; return the outcome and the differences."""
        settings = self._settings
        source = asyncio.run(
            read_source_records(
                round_input.records, reported, settings.future_tolerance, settings.earliest_poll
            )
        )
        if reported.hours and not source.hours:
            return "not_comparable", []
        if reported.timezone != settings.default_timezone and not source.timezones:
            return "not_comparable", []
        # a topic that was created again is read from offset 0, and lacks polls that are in the
        # table: it counts as a topic that has lost its oldest records
        source.oldest = 1 if round_input.first == 0 else 0
        comparison = compare(reported, source, settings.default_timezone)
        if comparison.outcome == "cannot be recomputed":
            return "not_comparable", []
        return comparison.outcome, comparison.reasons

    async def _has_dead_letter(self, round_input: _RoundInput, store_id: str) -> bool:
        """Return whether a worker has written a dead letter of one of the store's records."""
        offsets = {
            (spec.name, round_input.number, record.offset)
            for spec in SOURCE_TOPICS
            for record in round_input.records.of_store(
                TopicPartition(spec.name, round_input.number), store_id
            )
        }
        appended = round_input.records.first_append_time(round_input.status_partition) or 0
        first = await self._first_since(round_input.consumer, _DEAD_LETTERS, appended)
        _, end = await self._bounds(round_input.consumer, _DEAD_LETTERS)
        dead_letters = RecentRecords(round_input.consumer, [store_id])
        await dead_letters.read_to(_DEAD_LETTERS, first, end)
        return any(
            _source_of(dead_letter) in offsets
            for dead_letter in dead_letters.of_store(_DEAD_LETTERS, store_id)
        )


def _instants(record: Any) -> list[int]:
    try:
        batch, _ = decode_poll_batch(record.value)
    except RecordError:
        return []
    return [instant for instant, _ in batch.polls]


def _source_of(dead_letter: Any) -> tuple[Any, Any, Any] | None:
    """Return the topic, partition and offset of the record that a dead letter is of, or None."""
    try:
        source = decode_dead_letter(dead_letter.value).source
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
