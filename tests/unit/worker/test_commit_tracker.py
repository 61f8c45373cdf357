"""What may be committed: never past an event that is not done with."""

from __future__ import annotations

from stream_app.worker.commit_tracker import Committable
from tests.agent_fakes import FakeEvent, FakeMessage, FakeRun


def event(offset: int, partition: int = 0) -> FakeEvent:
    return FakeEvent(FakeMessage(b"", offset=offset, partition=partition))


def test_nothing_is_committed_where_nothing_was_taken() -> None:
    committable = Committable()

    assert committable.offset("store-status", 0) is None
    assert list(committable.partitions()) == []


def test_it_is_the_first_event_in_hand() -> None:
    committable = Committable()
    # offsets may have holes: Faust, which books them, commits one a second from there on
    events = [event(offset) for offset in (7, 8, 20)]
    taken = [committable.take(each) for each in events]
    assert committable.offset("store-status", 0) == 7

    taken[1].ack()
    assert committable.offset("store-status", 0) == 7
    taken[0].ack()
    assert committable.offset("store-status", 0) == 20
    taken[2].ack()
    assert committable.offset("store-status", 0) == 21
    assert [each.acks for each in events] == [1, 1, 1]


def test_an_event_that_faust_skips_is_not_done_with() -> None:
    """Faust acknowledges it by itself, without ever handing it to an agent."""
    committable = Committable()
    committable.take(event(7)).ack()

    event(8).ack()

    assert committable.offset("store-status", 0) == 8


def test_an_event_that_carries_many_records_is_in_hand_from_the_first_of_them_on() -> None:
    committable = Committable()
    messages = [FakeMessage(b"", offset=offset) for offset in (7, 8, 20)]
    taken = committable.take(FakeEvent(FakeRun(*messages)))
    later = committable.take(event(21))

    later.ack()
    assert (taken.first, taken.end) == (7, 21)
    assert committable.offset("store-status", 0) == 7
    taken.ack()

    assert committable.offset("store-status", 0) == 22


def test_every_partition_has_its_own() -> None:
    committable = Committable()
    committable.take(event(7))
    committable.take(event(3, partition=1)).ack()

    assert sorted(committable.partitions()) == [("store-status", 0), ("store-status", 1)]
    assert committable.offset("store-status", 0) == 7
    assert committable.offset("store-status", 1) == 4


def test_an_event_of_an_earlier_assignment_says_nothing_about_this_one() -> None:
    committable = Committable()
    earlier = committable.take(event(7))
    committable.reset()
    assert committable.offset("store-status", 0) is None

    committable.take(event(7))
    earlier.ack()

    assert committable.offset("store-status", 0) == 7


def test_one_partition_is_forgotten_alone() -> None:
    committable = Committable()
    committable.take(event(7)).ack()
    committable.take(event(3, partition=1)).ack()

    committable.reset(0)

    assert committable.offset("store-status", 0) is None
    assert committable.offset("store-status", 1) == 4
    assert list(committable.partitions()) == [("store-status", 1)]


def test_an_event_that_is_abandoned_is_not_done_with() -> None:
    """Another worker owns its partition now, and reads the record again."""
    committable = Committable()
    first, second = event(7), event(8)
    taken = committable.take(first)
    committable.take(second).ack()

    taken.abandon()

    assert committable.offset("store-status", 0) == 7
    assert first.acks == 1, "Faust would wait for it"


def test_what_comes_again_says_nothing_about_what_is_in_hand() -> None:
    """After a seek records are handed out twice; the second time they lead to no write."""
    committable = Committable()
    first = committable.take(event(7))
    committable.take(event(7)).ack()
    assert committable.offset("store-status", 0) == 7, "its facts are on their way"

    first.ack()
    assert committable.offset("store-status", 0) == 8
