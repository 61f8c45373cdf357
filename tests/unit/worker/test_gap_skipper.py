"""Offsets without a record: an empty gap is skipped, a missed record is read, a loss reported."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import TopicPartition

from stream_app.contracts.topics import SOURCE_TOPICS, STORE_STATUS, STORE_TIMEZONES
from stream_app.errors import BrokerUnavailableError
from stream_app.kafka.offset_gaps import OffsetGap, OffsetGaps
from stream_app.kafka.offset_tracker import OffsetTracker
from stream_app.kafka.offsets import EndOffsetFetcher
from stream_app.worker import gap_skipper as module
from stream_app.worker.facts.keys import LOST_KEY
from stream_app.worker.facts.partition_records import LostRange, decode_lost
from stream_app.worker.gap_skipper import GapSkipper, LostInput
from stream_app.worker.metrics import WorkerMetrics
from tests.agent_fakes import NOW, FakeFacts, FakeOwnedPartitions, RecordingPublisher, settle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from stream_app.worker.owned_partitions import OwnedPartition

POLLS, ZONES = STORE_STATUS.name, STORE_TIMEZONES.name
ONE, TWO = TopicPartition(POLLS, 0), TopicPartition(POLLS, 1)


class IdlePartitions(FakeOwnedPartitions):
    """Owned partitions that are idle at offsets that a test sets; the skipped gaps are recorded."""

    def __init__(self, facts: FakeFacts) -> None:
        super().__init__(facts)
        self.idle: dict[TopicPartition, int] = {}
        self.skipped: list[tuple[TopicPartition, int, int]] = []

    def own_at(self, number: int, offset: int, *lost: LostRange) -> OwnedPartition:
        owned = self.own(number)
        owned.offset_trackers = {spec.name: OffsetTracker(offset) for spec in SOURCE_TOPICS}
        owned.lost_ranges = list(lost)
        return owned

    def idle_offsets(self) -> dict[TopicPartition, int]:
        return dict(self.idle)

    def skip_gap(self, partition: TopicPartition, first: int, end: int) -> None:
        self.skipped.append((partition, first, end))


class Log(EndOffsetFetcher, OffsetGaps):
    """The first and end offsets of source topics, and the offsets that have a record.

    Attributes:
        errors: raised by the next calls of `inspect`, in order.
        on_inspect: called during every call of `inspect`.
        inspected: the ranges of every call of `inspect`.
    """

    def __init__(self) -> None:
        self.beginning: dict[TopicPartition, int] = {}
        self.ends: dict[TopicPartition, int] = {}
        self.records: dict[TopicPartition, list[int]] = {}
        self.errors: list[Exception] = []
        self.on_inspect: Callable[[], None] = lambda: None
        self.inspected: list[dict[TopicPartition, tuple[int, int]]] = []
        self.started = self.stopped = 0

    async def start(self) -> None:
        self.started += 1

    async def stop(self) -> None:
        self.stopped += 1

    async def fetch(self, partitions: Iterable[Any]) -> dict[Any, int]:
        return {partition: self.ends[partition] for partition in partitions}

    async def inspect(self, ranges: Mapping[Any, tuple[int, int]]) -> dict[Any, OffsetGap]:
        self.inspected.append(dict(ranges))
        self.on_inspect()
        if self.errors:
            raise self.errors.pop(0)
        gaps = {}
        for place, (first, end) in ranges.items():
            lost_end = min(max(first, self.beginning.get(place, 0)), end)
            offsets = [r for r in self.records.get(place, []) if lost_end <= r < end]
            gaps[place] = OffsetGap(lost_end, min(offsets, default=end))
        return gaps


class Harness:
    """A `GapSkipper` and a `LostInput` with fakes around them."""

    def __init__(self) -> None:
        self.facts = FakeFacts()
        self.owned_partitions = IdlePartitions(self.facts)
        self.log = Log()
        self.publisher = RecordingPublisher()
        self.metrics = WorkerMetrics()
        self.lost_input = LostInput(
            self.publisher,
            self.metrics,
            lambda: NOW,
        )
        self.gaps = GapSkipper(
            self.owned_partitions,
            self.log,
            self.log,
            self.lost_input,
        )

    async def look_twice(self) -> None:
        for _ in range(2):
            await self.gaps.skip_gaps()

    def lost_records(self, topic: str = POLLS) -> float | None:
        return self.metrics.registry.get_sample_value(
            "store_uptime_lost_records_total", {"topic": topic}
        )


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch) -> Harness:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0)
    return Harness()


# -- partitions that are idle before a gap


async def test_a_gap_is_skipped_at_the_second_look(harness: Harness) -> None:
    harness.owned_partitions.own_at(0, 5)
    harness.owned_partitions.idle, harness.log.ends = {ONE: 5}, {ONE: 8}

    await harness.gaps.skip_gaps()
    assert harness.log.inspected == [], "a record may still arrive"
    await harness.gaps.skip_gaps()

    assert harness.owned_partitions.skipped == [(ONE, 5, 8)]
    assert harness.publisher.dead_letters == []


async def test_records_that_are_still_to_come_are_waited_for(harness: Harness) -> None:
    harness.owned_partitions.own_at(0, 5)
    harness.owned_partitions.own_at(1, 5)
    harness.owned_partitions.idle, harness.log.ends = {ONE: 5, TWO: 5}, {ONE: 8, TWO: 9}
    harness.log.records = {ONE: [7]}

    await harness.look_twice()

    assert harness.owned_partitions.skipped == [(TWO, 5, 9)]


async def test_a_partition_that_moves_or_is_at_the_end_costs_no_look(harness: Harness) -> None:
    harness.log.ends = {ONE: 8, TWO: 100}
    for offset in range(5):
        harness.owned_partitions.idle = {ONE: 8, TWO: offset}
        await harness.gaps.skip_gaps()

    assert harness.log.inspected == []


async def test_an_idle_partition_skips_lost_records_and_waits_for_those_that_exist(
    harness: Harness,
) -> None:
    harness.owned_partitions.own_at(0, 5)
    harness.owned_partitions.idle, harness.log.ends = {ONE: 5}, {ONE: 30}
    harness.log.beginning, harness.log.records = {ONE: 20}, {ONE: [25]}

    await harness.look_twice()

    assert harness.owned_partitions.skipped == [(ONE, 5, 20)]
    (lost,) = harness.owned_partitions.partitions[0].lost_ranges
    assert (lost.first, lost.end) == (5, 20)


async def test_a_partition_whose_records_are_all_lost_is_moved_to_the_end(harness: Harness) -> None:
    harness.owned_partitions.own_at(0, 5)
    harness.owned_partitions.idle, harness.log.ends, harness.log.beginning = (
        {ONE: 5},
        {ONE: 8},
        {ONE: 8},
    )

    await harness.look_twice()

    assert harness.owned_partitions.skipped == [(ONE, 5, 8)]
    assert harness.lost_records() == 3


async def test_no_loss_is_reported_of_a_partition_that_is_not_owned_any_more(
    harness: Harness,
) -> None:
    harness.owned_partitions.idle, harness.log.ends, harness.log.beginning = (
        {ONE: 5},
        {ONE: 8},
        {ONE: 8},
    )

    await harness.look_twice()

    assert harness.owned_partitions.skipped == []
    assert harness.publisher.dead_letters == []


async def test_it_looks_until_it_is_stopped_whatever_the_broker_answers(harness: Harness) -> None:
    harness.owned_partitions.own_at(0, 5)
    harness.owned_partitions.idle, harness.log.ends = {ONE: 5}, {ONE: 8}
    harness.log.errors = [BrokerUnavailableError("gone")]

    await harness.gaps.start()
    await settle()
    await harness.gaps.stop()

    assert (ONE, 5, 8) in harness.owned_partitions.skipped
    assert (harness.log.started, harness.log.stopped) == (1, 1)


# -- before a record is applied


async def test_a_record_that_follows_the_last_one_costs_no_look(harness: Harness) -> None:
    owned = harness.owned_partitions.own_at(0, 5)

    assert await harness.gaps.find_missed_record(owned, POLLS, 5) is None
    assert await harness.gaps.find_missed_record(owned, POLLS, 3) is None
    assert harness.log.inspected == []


async def test_a_record_behind_an_empty_gap_may_be_applied(harness: Harness) -> None:
    owned = harness.owned_partitions.own_at(0, 5)
    harness.log.records = {ONE: [9], (ZONES, 0): [6]}

    assert await harness.gaps.find_missed_record(owned, POLLS, 9) is None

    assert harness.log.inspected == [{ONE: (5, 9)}]
    assert harness.publisher.dead_letters == []


async def test_a_missed_record_has_to_be_read_first(harness: Harness) -> None:
    owned = harness.owned_partitions.own_at(0, 5)
    harness.log.records = {ONE: [7, 8, 9]}

    assert await harness.gaps.find_missed_record(owned, POLLS, 9) == 7


async def test_the_lost_part_of_a_gap_is_reported_and_the_missed_part_is_read(
    harness: Harness,
) -> None:
    owned = harness.owned_partitions.own_at(0, 5)
    harness.log.beginning, harness.log.records = {ONE: 7}, {ONE: [8]}

    assert await harness.gaps.find_missed_record(owned, POLLS, 9) == 8

    assert [(lost.first, lost.end) for lost in owned.lost_ranges] == [(5, 7)]


async def test_nothing_is_applied_beyond_a_gap_that_cannot_be_looked_at(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    owned = harness.owned_partitions.own_at(0, 5)
    harness.log.records = {ONE: [7]}
    harness.log.errors = [BrokerUnavailableError("gone")] * 3

    search = asyncio.create_task(harness.gaps.find_missed_record(owned, POLLS, 9))
    await asyncio.sleep(0)
    assert not search.done(), "the event loop runs other tasks meanwhile"

    assert await search == 7
    assert len(harness.log.inspected) == 4
    assert "store-status/0 waits before offset 9" in caplog.text


async def test_the_wait_for_a_broker_ends_when_the_partition_is_revoked(
    harness: Harness,
) -> None:
    """A rebalance waits for the events in flight."""
    owned = harness.owned_partitions.own_at(0, 5)
    harness.log.errors = [BrokerUnavailableError("gone")] * 1_000
    search = asyncio.create_task(harness.gaps.find_missed_record(owned, POLLS, 9))
    await settle()

    owned.revoked.set()
    await settle()

    assert search.done()
    assert len(harness.log.inspected) < 100


async def test_no_loss_is_reported_of_a_partition_that_is_revoked_during_the_look(
    harness: Harness,
) -> None:
    owned = harness.owned_partitions.own_at(0, 5)
    harness.log.beginning = {ONE: 9}
    harness.log.on_inspect = owned.revoked.set

    assert await harness.gaps.find_missed_record(owned, POLLS, 9) is None

    assert owned.lost_ranges == []
    assert harness.facts.writes == []
    assert harness.publisher.dead_letters == []


# -- reports of lost records


async def test_a_lost_range_is_in_the_log_in_a_dead_letter_and_in_the_changelog(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    owned = harness.owned_partitions.own_at(0, 5)

    await harness.lost_input.report(owned, POLLS, 5, 9)

    lost = LostRange(POLLS, 0, 5, 9, NOW)
    assert owned.lost_ranges == [lost]
    assert decode_lost(harness.facts.content[0, LOST_KEY]) == [lost]
    (dead_letter,) = harness.publisher.dead_letters
    assert dead_letter.source == {"topic": POLLS, "partition": 0, "offset": 5}
    assert dead_letter.reason == (
        "lost: the records of store-status/0 from offset 5 to 8 were deleted from the log before a "
        "worker had applied them"
    )
    assert dead_letter.original is None
    assert caplog.messages == [f"{dead_letter.reason}; reports of this partition say so"]
    assert harness.lost_records() == 4


async def test_a_lost_range_is_reported_once_also_after_a_restart(harness: Harness) -> None:
    owned = harness.owned_partitions.own_at(0, 5)
    await harness.lost_input.report(owned, POLLS, 5, 9)
    again = harness.owned_partitions.own_at(0, 5, *decode_lost(harness.facts.content[0, LOST_KEY]))

    await harness.lost_input.report(again, POLLS, 5, 9)
    await harness.lost_input.report(again, POLLS, 6, 8)

    assert len(harness.publisher.dead_letters) == 1
    assert len(harness.facts.writes) == 1
    assert harness.lost_records() == 4


async def test_a_lost_range_that_has_grown_is_reported_without_its_old_part(
    harness: Harness,
) -> None:
    owned = harness.owned_partitions.own_at(0, 5)
    await harness.lost_input.report(owned, POLLS, 5, 9)

    await harness.lost_input.report(owned, POLLS, 5, 20)
    await harness.lost_input.report(owned, POLLS, 5, 20)

    assert [(lost.first, lost.end) for lost in owned.lost_ranges] == [(5, 9), (9, 20)]
    assert harness.lost_records() == 15
    assert len(harness.publisher.dead_letters) == 2


async def test_equal_ranges_of_two_topics_are_two_losses(harness: Harness) -> None:
    owned = harness.owned_partitions.own_at(0, 5)

    await harness.lost_input.report(owned, POLLS, 5, 9)
    await harness.lost_input.report(owned, ZONES, 5, 9)

    assert len(harness.publisher.dead_letters) == 2
    assert harness.lost_records(ZONES) == 4
