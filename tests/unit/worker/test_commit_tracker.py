"""What may be committed: never past an event that is not done with."""

from __future__ import annotations

from aiokafka import TopicPartition

from stream_app.worker.commit_tracker import CommitTracker
from tests.agent_fakes import FakeChunk, FakeEvent, FakeMessage

STATUS_0, STATUS_1 = TopicPartition("store-status", 0), TopicPartition("store-status", 1)


def event(offset: int, partition: int = 0) -> FakeEvent:
    return FakeEvent(FakeMessage(b"", offset=offset, partition=partition))


def test_nothing_is_committed_where_nothing_was_taken() -> None:
    commit_tracker = CommitTracker()

    assert commit_tracker.offset(STATUS_0) is None
    assert list(commit_tracker.partitions()) == []


def test_it_is_the_first_event_in_hand() -> None:
    commit_tracker = CommitTracker()
    # offsets may have holes: Faust, which books them, commits one a second from there on
    events = [event(offset) for offset in (7, 8, 20)]
    taken = [commit_tracker.track(each) for each in events]
    assert commit_tracker.offset(STATUS_0) == 7

    taken[1].ack()
    assert commit_tracker.offset(STATUS_0) == 7
    taken[0].ack()
    assert commit_tracker.offset(STATUS_0) == 20
    taken[2].ack()
    assert commit_tracker.offset(STATUS_0) == 21
    assert [each.acks for each in events] == [1, 1, 1]


def test_an_event_that_faust_skips_is_not_done_with() -> None:
    """Faust acknowledges it by itself, without ever handing it to an agent."""
    commit_tracker = CommitTracker()
    commit_tracker.track(event(7)).ack()

    event(8).ack()

    assert commit_tracker.offset(STATUS_0) == 8


def test_an_event_that_carries_many_records_is_in_hand_from_the_first_of_them_on() -> None:
    commit_tracker = CommitTracker()
    messages = [FakeMessage(b"", offset=offset) for offset in (7, 8, 20)]
    taken = commit_tracker.track(FakeEvent(FakeChunk(*messages)))
    later = commit_tracker.track(event(21))

    later.ack()
    assert (taken.first, taken.end) == (7, 21)
    assert commit_tracker.offset(STATUS_0) == 7
    taken.ack()

    assert commit_tracker.offset(STATUS_0) == 22


def test_every_partition_has_its_own() -> None:
    commit_tracker = CommitTracker()
    commit_tracker.track(event(7))
    commit_tracker.track(event(3, partition=1)).ack()

    assert sorted(commit_tracker.partitions()) == [("store-status", 0), ("store-status", 1)]
    assert commit_tracker.offset(STATUS_0) == 7
    assert commit_tracker.offset(STATUS_1) == 4


def test_an_event_of_an_earlier_assignment_says_nothing_about_this_one() -> None:
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


def test_an_event_that_is_abandoned_is_not_done_with() -> None:
    """Another worker owns its partition now, and reads the record again."""
    commit_tracker = CommitTracker()
    first, second = event(7), event(8)
    taken = commit_tracker.track(first)
    commit_tracker.track(second).ack()

    taken.abandon()

    assert commit_tracker.offset(STATUS_0) == 7
    assert first.acks == 1, "Faust would wait for it"


def test_what_comes_again_says_nothing_about_what_is_in_hand() -> None:
    """After a seek records are handed out twice; the second time they lead to no write."""
    commit_tracker = CommitTracker()
    first = commit_tracker.track(event(7))
    commit_tracker.track(event(7)).ack()
    assert commit_tracker.offset(STATUS_0) == 7, "its facts are on their way"

    first.ack()
    assert commit_tracker.offset(STATUS_0) == 8
