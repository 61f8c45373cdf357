"""The offset that may be committed never passes an event in flight."""

from __future__ import annotations

from aiokafka import TopicPartition

from stream_app.worker.commit_tracker import CommitTracker
from tests.agent_fakes import FakeChunk, FakeEvent, FakeMessage

STATUS_0, STATUS_1 = TopicPartition("store-status", 0), TopicPartition("store-status", 1)


def event(offset: int, partition: int = 0) -> FakeEvent:
    return FakeEvent(FakeMessage(b"", offset=offset, partition=partition))


def test_nothing_is_committed_where_no_event_was_tracked() -> None:
    commit_tracker = CommitTracker()

    assert commit_tracker.offset(STATUS_0) is None
    assert list(commit_tracker.partitions()) == []


def test_the_offset_to_commit_is_that_of_the_first_event_in_flight() -> None:
    commit_tracker = CommitTracker()
    # offsets may have gaps, behind which Faust itself would commit one offset a second
    events = [event(offset) for offset in (7, 8, 20)]
    tracked = [commit_tracker.track(each) for each in events]
    assert commit_tracker.offset(STATUS_0) == 7

    tracked[1].ack()
    assert commit_tracker.offset(STATUS_0) == 7
    tracked[0].ack()
    assert commit_tracker.offset(STATUS_0) == 20
    tracked[2].ack()
    assert commit_tracker.offset(STATUS_0) == 21
    assert [each.acks for each in events] == [1, 1, 1]


def test_an_event_that_faust_skips_is_not_committed() -> None:
    """Faust acknowledges such an event itself, and passes it to no agent."""
    commit_tracker = CommitTracker()
    commit_tracker.track(event(7)).ack()

    event(8).ack()

    assert commit_tracker.offset(STATUS_0) == 8


def test_an_event_with_many_records_is_in_flight_from_the_first_record_on() -> None:
    commit_tracker = CommitTracker()
    messages = [FakeMessage(b"", offset=offset) for offset in (7, 8, 20)]
    chunk = commit_tracker.track(FakeEvent(FakeChunk(*messages)))
    later = commit_tracker.track(event(21))

    later.ack()
    assert (chunk.first, chunk.end) == (7, 21)
    assert commit_tracker.offset(STATUS_0) == 7
    chunk.ack()

    assert commit_tracker.offset(STATUS_0) == 22


def test_every_partition_has_an_offset_of_its_own() -> None:
    commit_tracker = CommitTracker()
    commit_tracker.track(event(7))
    commit_tracker.track(event(3, partition=1)).ack()

    assert sorted(commit_tracker.partitions()) == [("store-status", 0), ("store-status", 1)]
    assert commit_tracker.offset(STATUS_0) == 7
    assert commit_tracker.offset(STATUS_1) == 4


def test_an_event_of_an_earlier_assignment_moves_no_offset_of_this_one() -> None:
    commit_tracker = CommitTracker()
    earlier = commit_tracker.track(event(7))
    commit_tracker.reset()
    assert commit_tracker.offset(STATUS_0) is None

    commit_tracker.track(event(7))
    earlier.ack()

    assert commit_tracker.offset(STATUS_0) == 7


def test_one_partition_is_forgotten_alone() -> None:
    commit_tracker = CommitTracker()
    commit_tracker.track(event(7)).ack()
    commit_tracker.track(event(3, partition=1)).ack()

    commit_tracker.reset(0)

    assert commit_tracker.offset(STATUS_0) is None
    assert commit_tracker.offset(STATUS_1) == 4
    assert list(commit_tracker.partitions()) == [("store-status", 1)]


def test_an_event_that_is_abandoned_is_not_committed() -> None:
    """Another worker owns the partition now, and reads the record again."""
    commit_tracker = CommitTracker()
    first, second = event(7), event(8)
    abandoned = commit_tracker.track(first)
    commit_tracker.track(second).ack()

    abandoned.abandon()

    assert commit_tracker.offset(STATUS_0) == 7
    assert first.acks == 1, "Faust would wait for it"


def test_a_record_that_is_read_again_does_not_end_the_flight_of_the_first_one() -> None:
    """A seek makes the consumer return records twice; the second time they lead to no write."""
    commit_tracker = CommitTracker()
    first = commit_tracker.track(event(7))
    commit_tracker.track(event(7)).ack()
    assert commit_tracker.offset(STATUS_0) == 7, "its facts are in flight"

    first.ack()
    assert commit_tracker.offset(STATUS_0) == 8
