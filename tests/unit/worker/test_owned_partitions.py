"""The worker keeps the state of the partitions that it owns, and publishes their watermarks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import TopicPartition

from stream_app.contracts.removal import PollsRemoval
from stream_app.contracts.revisions import Revision
from stream_app.contracts.topics import SOURCE_TOPICS, STORE_STATUS, STORE_TIMEZONES
from stream_app.contracts.watermarks import Watermark
from stream_app.errors import RevokedError
from stream_app.kafka.offset_tracker import OffsetTracker
from stream_app.worker import owned_partitions as module
from stream_app.worker.commit_tracker import CommitTracker
from stream_app.worker.facts.keys import POSITION_KEY, store_key
from stream_app.worker.facts.partition_records import SourcePosition, decode_positions
from stream_app.worker.latest_polls import LatestPollPublisher
from stream_app.worker.owned_partitions import OwnedPartition, OwnedPartitions
from tests.agent_fakes import (
    Failures,
    FakeAppliedOffsets,
    FakeEvent,
    FakeFacts,
    FakeMessage,
    RecordingPublisher,
    settle,
    store_in,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping

    from stream_app.worker.commit_tracker import InFlightEvent

POLLS, ZONES = STORE_STATUS.name, STORE_TIMEZONES.name
REMOVAL = PollsRemoval(Revision(5, 1_000), 1_000, "id")
ONE, TWO = store_key(store_in(0)), store_key(store_in(0, 1))


class Harness:
    """An `OwnedPartitions` with fakes around it."""

    def __init__(self) -> None:
        self.facts = FakeFacts()
        self.progress = FakeAppliedOffsets()
        self.publisher = RecordingPublisher()
        self.latest = LatestPollPublisher(self.publisher)
        self.commit_tracker = CommitTracker()
        self.failures = Failures()
        self.owned_partitions = OwnedPartitions(
            self.progress,
            self.publisher,
            self.latest,
            self.commit_tracker,
        )

    def adopt(
        self,
        number: int,
        starts: Mapping[str, int] | None = None,
        *,
        stores: Iterable[bytes] = (),
        newest_poll: int | None = None,
        latest: dict[bytes, int] | None = None,
    ) -> OwnedPartition:
        """Adopt a partition whose sources go on at these offsets, or at 0 by default."""
        offsets = {spec.name: (starts or {}).get(spec.name, 0) for spec in SOURCE_TOPICS}
        partition = OwnedPartition(
            number,
            self.facts.of(number),
            stores=set(stores),
            newest_poll=newest_poll,
            offset_trackers={topic: OffsetTracker(offset) for topic, offset in offsets.items()},
            positions={topic: SourcePosition("id", offset) for topic, offset in offsets.items()},
        )
        self.owned_partitions.adopt(partition, latest or {})
        return partition

    def get(self, number: int) -> OwnedPartition:
        owned = self.owned_partitions.get(number)
        assert owned is not None
        return owned

    def track(self, offset: int, number: int = 0) -> InFlightEvent:
        """Track an event with a record of polls."""
        return self.commit_tracker.track(
            FakeEvent(FakeMessage(b"", offset=offset, partition=number))
        )

    def positions(self, number: int = 0) -> dict[str, int]:
        """Return the source positions in the changelog."""
        written = decode_positions(self.facts.content.get((number, POSITION_KEY)))
        return {topic: position.offset for topic, position in written.items()}

    async def published_watermarks(self, rounds: int = 2000) -> list[Watermark]:
        """Wait until watermarks are published, and return those since the last call."""
        for _ in range(rounds):
            if self.publisher.watermarks:
                break
            await asyncio.sleep(0)
        watermarks, self.publisher.watermarks = self.publisher.watermarks, []
        return watermarks


@pytest.fixture
async def harness(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Harness]:
    monkeypatch.setattr(module, "WATERMARK_SECONDS", 1e-9)
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 10_000)
    monkeypatch.setattr(module, "POSITION_SECONDS", 0)
    harness = Harness()
    yield harness
    await harness.owned_partitions.stop()


async def test_an_adopted_partition_is_owned_and_its_watermarks_are_the_offsets_to_read_next(
    harness: Harness,
) -> None:
    harness.adopt(0, {POLLS: 17}, stores=[ONE, TWO], newest_poll=80)
    harness.adopt(1, {ZONES: 4}, stores=[TWO], newest_poll=99)
    harness.adopt(2)

    assert harness.owned_partitions.owned == {0, 1, 2}
    assert harness.owned_partitions.get(3) is None
    assert {spec.name: harness.get(0).applied(spec.name) for spec in SOURCE_TOPICS} == {
        spec.name: 17 if spec is STORE_STATUS else 0 for spec in SOURCE_TOPICS
    }
    assert Watermark(POLLS, 0, 17, 80, stores=2) in harness.progress.watermarks
    assert Watermark(ZONES, 1, 4) in harness.progress.watermarks
    assert len(harness.progress.watermarks) == 9


async def test_a_watermark_says_of_which_topic_it_is(harness: Harness) -> None:
    harness.progress.set_topic_id(POLLS, "an-id")
    harness.adopt(0, {POLLS: 17})
    assert Watermark(POLLS, 0, 17, topic_id="an-id") in harness.progress.watermarks
    assert Watermark(ZONES, 0, 0) in harness.progress.watermarks


async def test_the_stores_of_the_table_are_registered_before_the_partition_is_owned(
    harness: Harness,
) -> None:
    # the former owner may have crashed between a store's first fact and its registration
    owned_at_registration: list[OwnedPartition | None] = []
    harness.publisher.on_register = lambda: owned_at_registration.append(
        harness.owned_partitions.get(0)
    )

    harness.adopt(0, stores=[ONE, TWO])

    assert sorted(harness.publisher.registered) == sorted([ONE, TWO])
    assert owned_at_registration == [None]


async def test_a_watermark_is_the_next_offset_and_never_goes_back(harness: Harness) -> None:
    harness.adopt(0, {POLLS: 10})

    for offset in (10, 12, 11, 3):
        harness.get(0).start(POLLS, offset, offset + 1)
        harness.owned_partitions.complete(harness.get(0), POLLS, offset)

    applied = [w.applied for w in harness.progress.watermarks if w.topic == POLLS]
    assert applied == [10, 11, 13, 13, 13]
    assert harness.get(0).applied(ZONES) == 0


async def test_a_record_in_flight_holds_the_watermark_back(harness: Harness) -> None:
    harness.adopt(0, {POLLS: 10})
    for first, end in ((10, 11), (11, 14), (20, 22)):
        harness.get(0).start(POLLS, first, end)

    for first, applied in ((20, 10), (10, 11), (11, 22)):
        harness.owned_partitions.complete(harness.get(0), POLLS, first)
        assert harness.get(0).applied(POLLS) == applied

    assert [w.applied for w in harness.progress.watermarks if w.topic == POLLS] == [10, 10, 11, 22]


async def test_the_offsets_between_the_last_started_record_and_a_record_are_its_gap(
    harness: Harness,
) -> None:
    partition = harness.adopt(0, {POLLS: 10})
    assert partition.gap_before(POLLS, 10) is None
    assert partition.gap_before(POLLS, 13) == (10, 13)

    partition.start(POLLS, 10, 13)

    assert partition.gap_before(POLLS, 13) is None, "records in flight are no gap"
    assert partition.gap_before(POLLS, 5) is None, "records that are read again have no gap"
    assert partition.gap_before(POLLS, 14) == (13, 14)


async def test_a_gap_is_skipped_where_the_partition_is_idle_before_it(harness: Harness) -> None:
    harness.adopt(0, {POLLS: 10})
    assert harness.owned_partitions.idle_offsets()[POLLS, 0] == 10

    harness.owned_partitions.skip_gap(TopicPartition(POLLS, 0), 10, 15)
    assert harness.get(0).applied(POLLS) == 15

    # meanwhile a record has come, or the partition was revoked
    harness.owned_partitions.skip_gap(TopicPartition(POLLS, 0), 10, 20)
    harness.get(0).start(POLLS, 15, 16)
    assert (POLLS, 0) not in harness.owned_partitions.idle_offsets()
    harness.owned_partitions.skip_gap(TopicPartition(POLLS, 0), 15, 20)
    harness.owned_partitions.skip_gap(TopicPartition(POLLS, 7), 0, 20)
    assert harness.get(0).applied(POLLS) == 15


async def test_the_newest_poll_never_goes_back(harness: Harness) -> None:
    harness.adopt(0)

    for offset, poll in enumerate((0, 50, None, 40, 60)):
        harness.owned_partitions.record_applied(harness.get(0), [], poll)
        harness.owned_partitions.complete(harness.get(0), POLLS, offset)

    newest = [w.newest_poll for w in harness.progress.watermarks if w.topic == POLLS]
    assert newest == [None, 0, 50, 50, 50, 60]


async def test_a_store_is_registered_once_and_before_its_record_counts(harness: Harness) -> None:
    harness.adopt(0)
    applied_at_registration: list[int] = []
    harness.publisher.on_register = lambda: applied_at_registration.append(
        harness.get(0).applied(POLLS)
    )

    harness.get(0).start(POLLS, 0, 2)
    for stores in ([ONE], [ONE, TWO], [TWO], []):
        harness.owned_partitions.record_applied(harness.get(0), stores)
    harness.owned_partitions.complete(harness.get(0), POLLS, 0)

    assert harness.publisher.registered == [ONE, TWO]
    assert applied_at_registration == [0, 0]
    assert harness.get(0).stores == {ONE, TWO}


async def test_tasks_that_wait_for_a_partition_are_woken(harness: Harness) -> None:
    harness.adopt(0)
    harness.get(0).applied_changed.clear()

    harness.owned_partitions.complete(harness.get(0), POLLS, 0)

    assert harness.get(0).applied_changed.is_set()


async def test_an_event_from_before_a_rebalance_moves_no_watermark_after_it(
    harness: Harness,
) -> None:
    before = harness.adopt(0)
    before.start(POLLS, 0, 5)
    harness.owned_partitions.revoke([0])
    harness.adopt(0)
    harness.get(0).start(POLLS, 0, 5)

    harness.owned_partitions.complete(before, POLLS, 0)

    assert harness.get(0).applied(POLLS) == 0
    assert {w.applied for w in harness.progress.watermarks} == {0}


# -- revoked partitions


async def test_revoking_wakes_waiting_tasks_and_leaves_the_table_open_for_events_in_flight(
    harness: Harness,
) -> None:
    partitions = [harness.adopt(0), harness.adopt(1), harness.adopt(2)]

    assert harness.owned_partitions.revoke([0, 1, 7]) == partitions[:2]

    assert [partition.revoked.is_set() for partition in partitions] == [True, True, False]
    assert harness.owned_partitions.owned == {2}
    assert harness.facts.revoked == []


async def test_all_may_be_revoked_while_they_are_looked_at(harness: Harness) -> None:
    harness.adopt(0)
    harness.adopt(1)

    harness.owned_partitions.revoke(harness.owned_partitions.owned)

    assert harness.owned_partitions.owned == frozenset()


async def test_a_partition_that_is_adopted_again_keeps_no_old_state(harness: Harness) -> None:
    first = harness.adopt(0, {POLLS: 5})
    harness.owned_partitions.record_applied(first, [ONE], 7)
    harness.owned_partitions.revoke([0])

    harness.adopt(0, {POLLS: 6})

    assert harness.get(0) is not first
    assert (harness.get(0).applied(POLLS), harness.get(0).stores, harness.get(0).newest_poll) == (
        6,
        set(),
        None,
    )
    assert not harness.get(0).revoked.is_set()


# -- published watermarks


async def test_a_watermark_that_moved_is_published(harness: Harness) -> None:
    await harness.owned_partitions.start()
    harness.adopt(0)
    harness.adopt(1)
    assert len(await harness.published_watermarks()) == 6

    for offset, poll in enumerate((3, None)):
        harness.get(1).start(POLLS, offset, offset + 1)
        harness.owned_partitions.record_applied(harness.get(1), [], poll)
        harness.owned_partitions.complete(harness.get(1), POLLS, offset)

    assert await harness.published_watermarks() == [Watermark(POLLS, 1, 2, 3)]
    await settle()
    assert harness.publisher.watermarks == []


async def test_watermarks_that_move_while_others_are_in_flight_go_together_afterwards(
    harness: Harness,
) -> None:
    in_flight = harness.publisher.watermarks_in_flight = asyncio.get_running_loop().create_future()
    await harness.owned_partitions.start()
    harness.adopt(0)
    assert len(await harness.published_watermarks()) == 3

    for offset in range(4):
        harness.get(0).start(POLLS, offset, offset + 1)
        harness.owned_partitions.complete(harness.get(0), POLLS, offset)
        await settle()
    assert harness.publisher.watermarks == []

    harness.publisher.watermarks_in_flight = None
    in_flight.set_result(None)
    assert await harness.published_watermarks() == [Watermark(POLLS, 0, 4)]


async def test_nothing_wakes_the_worker_up_while_no_watermark_moves(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "POSITION_SECONDS", 10_000)
    await harness.owned_partitions.start()
    harness.adopt(0)
    await harness.published_watermarks()
    await settle()
    loop = asyncio.get_running_loop()
    timers: list[float] = []
    call_at = loop.call_at

    def counted(when: float, *arguments: Any, **context: Any) -> asyncio.TimerHandle:
        timers.append(when)
        return call_at(when, *arguments, **context)

    monkeypatch.setattr(loop, "call_at", counted)

    await settle()

    assert timers == []


async def test_the_heartbeat_publishes_the_watermarks_of_all_owned_partitions(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.adopt(0)
    harness.adopt(2, {ZONES: 8})
    await harness.owned_partitions.start()
    await harness.published_watermarks()
    harness.publisher.watermarks.clear()
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0)

    watermarks = await harness.published_watermarks()

    assert {(w.topic, w.partition) for w in watermarks} == {
        (spec.name, number) for spec in SOURCE_TOPICS for number in (0, 2)
    }
    assert Watermark(ZONES, 2, 8) in watermarks


async def test_no_watermark_is_published_of_a_revoked_partition(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0)
    partition = harness.adopt(0)
    await harness.owned_partitions.start()
    await harness.published_watermarks()

    harness.owned_partitions.revoke([0])
    await settle()
    harness.publisher.watermarks.clear()
    harness.owned_partitions.complete(partition, POLLS, 5)
    await settle()

    assert harness.publisher.watermarks == []


async def test_watermarks_that_cannot_be_published_are_published_later(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0)
    harness.adopt(0)
    harness.publisher.watermark_error = OSError("the broker is gone")

    await harness.owned_partitions.start()

    assert len(await harness.published_watermarks()) == 3


# -- source positions in the changelog


async def test_a_position_is_written_when_all_records_below_it_are_in_the_changelog(
    harness: Harness,
) -> None:
    harness.adopt(0, {POLLS: 10})
    await harness.owned_partitions.start()
    first, second = harness.track(10), harness.track(11)

    second.ack()
    await settle()
    assert harness.positions() == {}, "the facts of the first record may never reach the changelog"
    first.ack()
    await settle()

    assert harness.positions()[POLLS] == 12


async def test_a_position_is_written_only_when_it_moved(harness: Harness) -> None:
    harness.adopt(0, {POLLS: 10})
    await harness.owned_partitions.start()
    await settle()
    assert harness.facts.writes == []

    harness.track(10).ack()
    await settle()
    await settle()
    harness.track(11)
    await settle()

    assert harness.facts.writes == [(0, POSITION_KEY)]


async def test_a_position_names_its_topic_and_leaves_those_of_other_topics(
    harness: Harness,
) -> None:
    harness.adopt(0, {POLLS: 10, ZONES: 3})
    await harness.owned_partitions.start()

    harness.track(10).ack()
    await settle()

    written = decode_positions(harness.facts.content[0, POSITION_KEY])
    assert written[POLLS] == SourcePosition("id", 11)
    assert written[ZONES] == SourcePosition("id", 3)
    assert set(written) == {spec.name for spec in SOURCE_TOPICS}


async def test_a_position_never_goes_back_when_records_are_read_again(harness: Harness) -> None:
    harness.adopt(0, {POLLS: 10})
    await harness.owned_partitions.start()

    harness.track(4).ack()
    await settle()

    assert harness.facts.writes == []


async def test_no_position_is_written_of_a_revoked_partition(harness: Harness) -> None:
    harness.adopt(0)
    await harness.owned_partitions.start()
    in_flight = harness.track(0)

    harness.owned_partitions.revoke([0])
    in_flight.ack()
    await settle()

    assert harness.facts.writes == []


async def test_a_position_that_cannot_be_written_stops_no_watermark(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0)

    def put(*_: Any) -> None:
        raise RevokedError("partition 0 is not open in this worker")

    monkeypatch.setattr(harness.facts, "put", put)
    harness.adopt(0)
    harness.track(0).ack()

    await harness.owned_partitions.start()

    assert len(await harness.published_watermarks()) == 3


async def test_a_new_owner_publishes_removed_stores_again(harness: Harness) -> None:
    """The former owner may have crashed between the write and the record that publishes it."""
    owned = OwnedPartition(
        0,
        harness.facts.of(0),
        stores={ONE},
        offset_trackers={spec.name: OffsetTracker(0) for spec in SOURCE_TOPICS},
        removals={ONE: REMOVAL, TWO: REMOVAL},
    )
    harness.owned_partitions.adopt(owned, {ONE: 80}, {TWO})
    assert (harness.publisher.registered, harness.publisher.unregistered) == ([ONE], [TWO])
    assert harness.publisher.latest == [(TWO, None)]

    harness.owned_partitions.record_removed(owned, {ONE})
    assert owned.stores == set()
    assert harness.publisher.unregistered == [TWO, ONE]
    harness.owned_partitions.record_applied(owned, {ONE})
    assert harness.publisher.registered == [ONE, ONE]
