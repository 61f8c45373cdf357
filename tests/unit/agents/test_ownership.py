"""Which partitions are ours, what is known of them, and what is told of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from stream_app.agents import ownership as module
from stream_app.agents.latest import LatestPolls
from stream_app.agents.ownership import OwnedPartition, Ownership
from stream_app.contracts.topics import SOURCE_TOPICS, STORE_STATUS, STORE_TIMEZONES
from stream_app.contracts.watermarks import Watermark
from stream_app.domain.buckets import Bucket
from stream_app.domain.polls import poll_set, to_bytes
from stream_app.errors import TableError
from stream_app.tables import HOURS_TAG, ZONE_TAG, bucket_key, store_key
from tests.agent_fakes import Failures, FakeFacts, FakeProgress, RecordingOutbox, settle, store_in

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

POLLS, ZONES = STORE_STATUS.name, STORE_TIMEZONES.name
ONE, TWO = store_key(store_in(0)), store_key(store_in(0, 1))


class Desk:
    """An `Ownership` among fakes."""

    def __init__(self) -> None:
        self.facts = FakeFacts()
        self.progress = FakeProgress()
        self.outbox = RecordingOutbox()
        self.failures = Failures()
        self.ownership = Ownership(
            self.facts,  # type: ignore[arg-type]
            self.progress,  # type: ignore[arg-type]
            self.outbox,  # type: ignore[arg-type]
            LatestPolls(self.outbox),  # type: ignore[arg-type]
            self.failures,
        )

    def get(self, number: int) -> OwnedPartition:
        owned = self.ownership.get(number)
        assert owned is not None
        return owned

    async def told_within(self, rounds: int = 2000) -> list[Watermark]:
        """What was told since the last question, waiting for the next telling."""
        for _ in range(rounds):
            if self.outbox.told:
                break
            await asyncio.sleep(0)
        told, self.outbox.told = self.outbox.told, []
        return told


@pytest.fixture
async def desk(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    monkeypatch.setattr(module, "WATERMARK_SECONDS", 0)
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 10_000)
    desk = Desk()
    yield desk
    await desk.ownership.stop()


async def test_what_is_known_of_a_partition_is_read_from_its_table(desk: Desk) -> None:
    cold, hot = Bucket(cold=True, slot=70), Bucket(cold=False, slot=1)
    desk.facts.content = {
        (0, bucket_key(ONE, cold)): to_bytes(poll_set([(5, True), (80, False)])),
        (0, bucket_key(ONE, hot)): to_bytes(poll_set([(9, True)])),
        (0, TWO + ZONE_TAG): b"UTC",
        (1, bucket_key(TWO, hot)): to_bytes(poll_set([(99, True)])),
        (2, ONE + HOURS_TAG): b"[]",
        (3, bucket_key(TWO, hot)): to_bytes(poll_set([(999, True)])),
    }

    await desk.ownership.take({0, 1, 2}, {(POLLS, 0): 17, (ZONES, 1): 4})

    assert desk.facts.opened == {0, 1, 2}
    assert [(desk.get(n).stores, desk.get(n).newest_poll) for n in range(3)] == [
        ({ONE, TWO}, 80),
        ({TWO}, 99),
        ({ONE}, None),
    ]
    assert desk.get(0).kinds == {Bucket(cold=True, slot=64), hot}
    assert desk.get(2).kinds == set()
    assert desk.ownership.get(3) is None
    assert {spec.name: desk.get(0).applied(spec.name) for spec in SOURCE_TOPICS} == {
        spec.name: 17 if spec is STORE_STATUS else 0 for spec in SOURCE_TOPICS
    }
    assert Watermark(POLLS, 0, 17, 80) in desk.progress.watermarks
    assert Watermark(ZONES, 1, 4) in desk.progress.watermarks
    assert len(desk.progress.watermarks) == 9


async def test_a_watermark_says_of_which_topic_it_is(desk: Desk) -> None:
    desk.progress.set_topic_id(POLLS, "an-id")
    await desk.ownership.take({0}, {(POLLS, 0): 17})
    assert Watermark(POLLS, 0, 17, topic_id="an-id") in desk.progress.watermarks
    assert Watermark(ZONES, 0, 0) in desk.progress.watermarks


async def test_the_stores_of_the_table_are_registered_before_the_partition_is_owned(
    desk: Desk,
) -> None:
    # a crash may have come between a store's first fact and its registration
    desk.facts.content = {(0, ONE + ZONE_TAG): b"UTC", (0, TWO + ZONE_TAG): b"UTC"}
    owned_then: list[OwnedPartition | None] = []
    desk.outbox.on_register = lambda: owned_then.append(desk.ownership.get(0))

    await desk.ownership.take({0}, {})

    assert sorted(desk.outbox.registered) == sorted([ONE, TWO])
    assert owned_then == [None]


async def test_a_watermark_is_the_next_offset_and_never_goes_back(desk: Desk) -> None:
    await desk.ownership.take({0}, {(POLLS, 0): 10})

    for offset in (10, 12, 11, 3):
        desk.get(0).begin(POLLS, offset, offset + 1)
        desk.ownership.finish(desk.get(0), POLLS, offset)

    told = [w.applied for w in desk.progress.watermarks if w.topic == POLLS]
    assert told == [10, 11, 13, 13, 13]
    assert desk.get(0).applied(ZONES) == 0


async def test_a_record_that_is_still_on_its_way_holds_the_watermark(desk: Desk) -> None:
    await desk.ownership.take({0}, {(POLLS, 0): 10})
    for first, end in ((10, 11), (11, 14), (20, 22)):
        desk.get(0).begin(POLLS, first, end)

    for first, applied in ((20, 10), (10, 11), (11, 22)):
        desk.ownership.finish(desk.get(0), POLLS, first)
        assert desk.get(0).applied(POLLS) == applied

    assert [w.applied for w in desk.progress.watermarks if w.topic == POLLS] == [10, 10, 11, 22]


async def test_a_hole_is_skipped_where_the_partition_rests_before_it(desk: Desk) -> None:
    await desk.ownership.take({0}, {(POLLS, 0): 10})
    assert desk.ownership.idle_offsets()[POLLS, 0] == 10

    desk.ownership.skip(POLLS, 0, 10, 15)
    assert desk.get(0).applied(POLLS) == 15

    # meanwhile a record came after all, or the partition went away
    desk.ownership.skip(POLLS, 0, 10, 20)
    desk.get(0).begin(POLLS, 15, 16)
    assert (POLLS, 0) not in desk.ownership.idle_offsets()
    desk.ownership.skip(POLLS, 0, 15, 20)
    desk.ownership.skip(POLLS, 7, 0, 20)
    assert desk.get(0).applied(POLLS) == 15


async def test_the_newest_poll_never_goes_back(desk: Desk) -> None:
    await desk.ownership.take({0}, {})

    for offset, poll in enumerate((0, 50, None, 40, 60)):
        desk.ownership.applied(desk.get(0), [], poll)
        desk.ownership.finish(desk.get(0), POLLS, offset)

    newest = [w.newest_poll for w in desk.progress.watermarks if w.topic == POLLS]
    assert newest == [None, 0, 50, 50, 50, 60]


async def test_a_store_is_registered_once_and_before_its_record_counts(desk: Desk) -> None:
    await desk.ownership.take({0}, {})
    applied_then: list[int] = []
    desk.outbox.on_register = lambda: applied_then.append(desk.get(0).applied(POLLS))

    desk.get(0).begin(POLLS, 0, 2)
    for stores in ([ONE], [ONE, TWO], [TWO], []):
        desk.ownership.applied(desk.get(0), stores)
    desk.ownership.finish(desk.get(0), POLLS, 0)

    assert desk.outbox.registered == [ONE, TWO]
    assert applied_then == [0, 0]
    assert desk.get(0).stores == {ONE, TWO}


async def test_who_waits_for_a_partition_is_woken(desk: Desk) -> None:
    await desk.ownership.take({0}, {})
    desk.get(0).moved.clear()

    desk.ownership.finish(desk.get(0), POLLS, 0)

    assert desk.get(0).moved.is_set()


async def test_what_was_in_hand_before_a_rebalance_moves_nothing_after_it(desk: Desk) -> None:
    await desk.ownership.take({0}, {})
    before = desk.get(0)
    before.begin(POLLS, 0, 5)
    await desk.ownership.take({0}, {})
    desk.get(0).begin(POLLS, 0, 5)

    desk.ownership.finish(before, POLLS, 0)

    assert desk.get(0).applied(POLLS) == 0
    assert {w.applied for w in desk.progress.watermarks} == {0}


# -- giving up


async def test_release_ends_the_waiting_and_closes_the_table(desk: Desk) -> None:
    await desk.ownership.take({0, 1}, {})
    partitions = [desk.get(0), desk.get(1)]

    desk.ownership.release()

    assert all(partition.lost.is_set() for partition in partitions)
    assert desk.ownership.get(0) is None
    assert desk.facts.opened is None


async def test_release_lets_go_even_when_the_table_cannot_be_closed(desk: Desk) -> None:
    await desk.ownership.take({0}, {})
    partition = desk.get(0)

    def close() -> None:
        raise OSError("no space left")

    desk.facts.close = close  # type: ignore[method-assign]
    with pytest.raises(OSError, match="no space"):
        desk.ownership.release()

    assert partition.lost.is_set()
    assert desk.ownership.get(0) is None


async def test_what_is_taken_again_is_read_again(desk: Desk) -> None:
    await desk.ownership.take({0, 1}, {(POLLS, 0): 5})
    desk.ownership.applied(desk.get(0), [ONE], 7)
    first = desk.get(0)
    desk.ownership.release()

    await desk.ownership.take({0}, {(POLLS, 0): 6})

    assert desk.get(0) is not first
    assert (desk.get(0).applied(POLLS), desk.get(0).stores, desk.get(0).newest_poll) == (
        6,
        set(),
        None,
    )
    assert not desk.get(0).lost.is_set()
    assert desk.ownership.get(1) is None


async def test_taking_leaves_nothing_of_before(desk: Desk) -> None:
    await desk.ownership.take({0, 1}, {})
    first = desk.get(0)

    await desk.ownership.take({1}, {})

    assert first.lost.is_set()
    assert desk.ownership.get(0) is None
    assert desk.facts.opened == {1}


async def test_a_rebalance_while_taking_leaves_nothing_owned(desk: Desk) -> None:
    desk.facts.content = {(0, ONE + ZONE_TAG): b"UTC", (1, TWO + ZONE_TAG): b"UTC"}
    taking = asyncio.create_task(desk.ownership.take({0, 1}, {}))
    await asyncio.sleep(0)
    desk.ownership.release()
    await taking
    assert desk.outbox.registered == []

    assert desk.ownership.get(0) is None
    assert desk.ownership.get(1) is None
    assert desk.facts.opened is None


# -- telling


async def test_what_moved_is_told(desk: Desk) -> None:
    await desk.ownership.start()
    await desk.ownership.take({0, 1}, {})
    assert len(await desk.told_within()) == 6

    for offset, poll in enumerate((3, None)):
        desk.get(1).begin(POLLS, offset, offset + 1)
        desk.ownership.applied(desk.get(1), [], poll)
        desk.ownership.finish(desk.get(1), POLLS, offset)

    assert await desk.told_within() == [Watermark(POLLS, 1, 2, 3)]
    await settle()
    assert desk.outbox.told == []


async def test_a_database_that_cannot_be_written_ends_the_worker(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would tell nothing any more, and every report would wait for it."""
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0)
    error = TableError("no space left")

    def persist_offsets() -> None:
        raise error

    desk.facts.persist_offsets = persist_offsets  # type: ignore[method-assign]
    await desk.ownership.start()
    await settle()

    assert desk.failures.errors == [error]


async def test_the_heartbeat_tells_all_that_is_owned_and_persists(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.ownership.take({0, 2}, {(ZONES, 2): 8})
    await desk.ownership.start()
    await desk.told_within()
    desk.outbox.told.clear()
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0)

    told = await desk.told_within()

    assert {(w.topic, w.partition) for w in told} == {
        (spec.name, number) for spec in SOURCE_TOPICS for number in (0, 2)
    }
    assert Watermark(ZONES, 2, 8) in told
    assert desk.facts.persisted > 0


async def test_nothing_is_told_after_release(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0)
    await desk.ownership.take({0}, {})
    await desk.ownership.start()
    await desk.told_within()
    partition = desk.get(0)

    desk.ownership.release()
    await settle()
    desk.outbox.told.clear()
    desk.ownership.finish(partition, POLLS, 5)
    await settle()

    assert desk.outbox.told == []


async def test_a_telling_that_fails_is_tried_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0)
    await desk.ownership.take({0}, {})
    desk.outbox.tell_error = OSError("the broker is gone")

    await desk.ownership.start()

    assert len(await desk.told_within()) == 3
