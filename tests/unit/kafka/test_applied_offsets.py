"""Waiting until what was acknowledged is applied, as any process sees it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from aiokafka import TopicPartition

from stream_app.contracts.topics import (
    SOURCE_TOPICS,
    STORE_BUSINESS_HOURS,
    STORE_STATUS,
    STORE_TIMEZONES,
)
from stream_app.contracts.watermarks import RestoreStatus, Watermark, encode_restore
from stream_app.errors import BrokerUnavailableError, RecordError
from stream_app.kafka.applied_offsets import OWNER_TIMEOUT_SECONDS, AppliedOffsets
from tests.agent_fakes import PARTITIONS, settings_with, settle

if TYPE_CHECKING:
    from collections.abc import Iterable

POLLS, HOURS, ZONES = STORE_STATUS.name, STORE_BUSINESS_HOURS.name, STORE_TIMEZONES.name
ALL = [TopicPartition(spec.name, number) for spec in SOURCE_TOPICS for number in range(PARTITIONS)]


class FakeHighwaters:
    """Says how far the topics reach; a test moves them."""

    def __init__(self) -> None:
        self.offsets: dict[TopicPartition, int] = dict.fromkeys(ALL, 0)
        self.asked = 0
        self.error: Exception | None = None

    async def ask(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        self.asked += 1
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return {partition: self.offsets[partition] for partition in partitions}


class Desk:
    """A `AppliedOffsets` that hears what a test says, on a clock that a test moves."""

    def __init__(self) -> None:
        self.highwaters = FakeHighwaters()
        self.now = 1000.0
        self.progress = AppliedOffsets(
            settings_with(),
            self.highwaters,  # type: ignore[arg-type]
            lambda: self.now,
        )

    def hear(
        self,
        topic: str,
        number: int,
        applied: int,
        newest: int | None = None,
        topic_id: str | None = None,
    ) -> None:
        self.progress.advance(Watermark(topic, number, applied, newest, topic_id))

    def look(self, seconds: float = 0.0) -> None:
        """Time passes, and all that has come until then is read."""
        self.now += seconds
        self.progress._on_round()

    def hear_all(self) -> None:
        for topic, number in ALL:
            self.hear(topic, number, 0)
        self.look()

    async def waiting(self) -> asyncio.Task[dict[TopicPartition, int]]:
        task = asyncio.create_task(self.progress.catch_up())
        await settle()
        return task


@pytest.fixture
async def desk() -> Desk:
    return Desk()


async def test_nothing_to_wait_for_asks_once(desk: Desk) -> None:
    desk.hear_all()
    desk.highwaters.offsets[POLLS, 1] = 6
    desk.hear(POLLS, 1, 6)

    reached = await desk.progress.catch_up()

    assert desk.highwaters.asked == 1
    assert reached == desk.highwaters.offsets


async def test_watermarks_of_no_source_partition_are_not_kept(desk: Desk) -> None:
    desk.hear("no-such-topic", 0, 5, newest=9)
    desk.hear(POLLS, PARTITIONS, 5, newest=9)
    assert desk.progress.newest_poll() is None


async def test_it_waits_for_every_partition(desk: Desk) -> None:
    desk.hear_all()
    desk.highwaters.offsets[POLLS, 1] = 5
    desk.highwaters.offsets[ZONES, 3] = 2
    task = await desk.waiting()

    for topic, number, applied in ((POLLS, 1, 4), (ZONES, 3, 2), (POLLS, 2, 0)):
        desk.hear(topic, number, applied)
        await settle()
        assert not task.done()
    desk.hear(POLLS, 1, 5)
    await settle()

    assert task.done()


async def test_a_partition_that_nobody_has_spoken_for_is_waited_for(desk: Desk) -> None:
    for topic, number in ALL[:-1]:
        desk.hear(topic, number, 0)
    task = await desk.waiting()
    assert not task.done()

    desk.hear(*ALL[-1], 0)
    await settle()

    assert task.done()


async def test_what_was_passed_on_while_it_waited_is_waited_for_too(desk: Desk) -> None:
    desk.hear_all()
    desk.highwaters.offsets[POLLS, 0] = 1
    task = await desk.waiting()

    # the record of partition 0 belongs to partition 2: it is there before it counts as applied
    desk.highwaters.offsets[POLLS, 2] = 1
    desk.hear(POLLS, 0, 1)
    await settle()
    assert desk.highwaters.asked == 2
    assert not task.done()
    desk.hear(POLLS, 2, 1)
    await settle()

    assert (await task)[POLLS, 2] == 1
    assert desk.highwaters.asked == 2


async def test_what_is_applied_while_it_asks_counts_as_waiting(desk: Desk) -> None:
    # so that the second round looks for what it may have passed on
    desk.hear_all()
    desk.highwaters.offsets[POLLS, 0] = 1
    task = asyncio.create_task(desk.progress.catch_up())
    await asyncio.sleep(0)
    desk.hear(POLLS, 0, 1)
    await settle()

    assert task.done()
    assert desk.highwaters.asked == 2


async def test_many_wait_at_once(desk: Desk) -> None:
    desk.hear_all()
    desk.highwaters.offsets[POLLS, 0] = 1
    tasks = [await desk.waiting() for _ in range(5)]

    desk.hear(POLLS, 0, 1)
    await settle()

    assert all(task.done() for task in tasks)


async def test_one_that_gives_up_leaves_the_others_waiting(desk: Desk) -> None:
    desk.hear_all()
    desk.highwaters.offsets[POLLS, 0] = 1
    one, other = [await desk.waiting() for _ in range(2)]

    one.cancel()
    await settle()
    desk.hear(POLLS, 0, 1)
    await settle()

    assert one.cancelled()
    assert other.done()
    assert desk.progress._waiters == 0


async def test_a_broker_that_does_not_answer_is_said(desk: Desk) -> None:
    desk.highwaters.error = BrokerUnavailableError("gone")

    with pytest.raises(BrokerUnavailableError):
        await desk.progress.catch_up()


async def test_an_older_watermark_takes_nothing_back(desk: Desk) -> None:
    desk.hear_all()
    desk.highwaters.offsets[POLLS, 0] = 5
    desk.hear(POLLS, 0, 5, 70)
    desk.hear(POLLS, 0, 3, None)

    await desk.progress.catch_up()

    assert desk.highwaters.asked == 1
    assert desk.progress.newest_poll() == 70


# -- owners


async def test_a_partition_never_heard_of_has_no_owner(desk: Desk) -> None:
    assert desk.progress.unowned() == ALL
    desk.look()
    assert desk.progress.unowned() == ALL


async def test_a_partition_that_falls_silent_loses_its_owner(desk: Desk) -> None:
    desk.hear_all()
    desk.look(OWNER_TIMEOUT_SECONDS)
    assert desk.progress.unowned() == []

    desk.hear(ZONES, 2, 0)
    desk.look(0.1)

    assert desk.progress.unowned() == [p for p in ALL if p != (ZONES, 2)]


async def test_an_older_watermark_is_a_sign_of_life(desk: Desk) -> None:
    desk.hear_all()
    desk.hear(POLLS, 0, 9)
    desk.now += OWNER_TIMEOUT_SECONDS + 1
    desk.hear(POLLS, 0, 3)
    desk.look()

    assert (POLLS, 0) not in desk.progress.unowned()


async def test_what_this_process_has_yet_to_read_may_be_a_sign_of_life(desk: Desk) -> None:
    """An API that stood still for a while must not take all workers for gone."""
    desk.hear_all()
    desk.look()
    desk.now += OWNER_TIMEOUT_SECONDS * 10

    assert desk.progress.unowned() == []


async def test_unowned_partitions_are_named_with_the_progress_of_their_restores(desk: Desk) -> None:
    desk.hear_all()
    desk.look()
    assert desk.progress.why_unowned() is None

    desk.look(OWNER_TIMEOUT_SECONDS + 0.1)
    told = desk.progress.why_unowned()
    assert told is not None
    assert told.startswith("no worker owns partitions 0, 1, 2, 3 now: ")

    for topic in (POLLS, HOURS, ZONES):
        for number in (0, 1, 3):
            desk.hear(topic, number, 0)
    status = RestoreStatus(2, 1200, 33_800, 7)
    desk.progress._on_record(SimpleNamespace(value=encode_restore(status)))
    desk.look()
    assert desk.progress.why_unowned() == (
        "no worker owns partition 2 now: partition 2 is being restored: 1,200 of 35,000 "
        "changelog records read, about 7 s left"
    )

    # a restore that nobody has told of lately is nobody's
    for topic in (POLLS, HOURS, ZONES):
        for number in (0, 1, 3):
            desk.now += 0.2
            desk.hear(topic, number, 0)
    desk.look()
    assert "being restored" not in str(desk.progress.why_unowned())


@pytest.mark.parametrize(
    "value",
    [
        b'{"restore": 1, "done": -1, "to_do": 0}',
        b'{"restore": "1", "done": 1, "to_do": 0}',
        b'{"restore": 1, "done": 1, "to_do": 0, "seconds_left": "soon"}',
        b'{"restore": true, "done": 1, "to_do": 0}',
    ],
)
async def test_a_stray_restore_status_is_refused(desk: Desk, value: bytes) -> None:
    with pytest.raises(RecordError):
        desk.progress._on_record(SimpleNamespace(value=value))


async def test_a_restore_of_a_partition_that_is_none_is_not_kept(desk: Desk) -> None:
    desk.progress._on_record(SimpleNamespace(value=encode_restore(RestoreStatus(99, 1, 1))))

    assert desk.progress._restores == {}


# -- the newest poll


async def test_the_newest_poll_is_that_of_all_partitions(desk: Desk) -> None:
    assert desk.progress.newest_poll() is None
    desk.hear_all()
    assert desk.progress.newest_poll() is None

    for number, newest in enumerate((40, None, 90, 70)):
        desk.hear(POLLS, number, 1, newest)

    assert desk.progress.newest_poll() == 90


async def test_only_the_polls_topic_tells_of_polls(desk: Desk) -> None:
    desk.hear(POLLS, 0, 1, 5)
    desk.hear(ZONES, 0, 1, 99)

    assert desk.progress.newest_poll() == 5


# -- a topic that was deleted and made anew


async def test_a_watermark_of_the_topic_before_counts_no_more(desk: Desk) -> None:
    desk.progress.set_topic_id(POLLS, "first")
    desk.hear_all()
    desk.hear(POLLS, 0, 5, 70, "first")
    desk.highwaters.offsets[POLLS, 0] = 5
    await desk.progress.catch_up()

    desk.progress.set_topic_id(POLLS, "second")
    # whoever reads the topic that is gone is nobody's owner, however often it is heard
    desk.hear(POLLS, 0, 5, 70, "first")
    task = await desk.waiting()

    assert desk.progress.unowned() == [(POLLS, number) for number in range(PARTITIONS)]
    assert desk.progress.newest_poll() is None
    assert not task.done()

    for number in range(PARTITIONS):
        desk.hear(POLLS, number, desk.highwaters.offsets[POLLS, number], 80, "second")
    await settle()
    assert task.done()
    assert desk.progress.unowned() == []
    assert desk.progress.newest_poll() == 80


async def test_watermarks_of_other_topics_stay(desk: Desk) -> None:
    for topic in (POLLS, ZONES):
        desk.progress.set_topic_id(topic, "first")
        desk.hear(topic, 0, 5, None, "first")

    desk.progress.set_topic_id(POLLS, "second")

    desk.look()
    assert (ZONES, 0) not in desk.progress.unowned()


async def test_a_watermark_of_a_topic_not_heard_of_yet_does_not_count(desk: Desk) -> None:
    desk.progress.set_topic_id(POLLS, "first")
    desk.hear(POLLS, 0, 5, 70, "second")
    assert desk.progress.newest_poll() is None


async def test_one_without_an_id_counts_until_one_with_an_id_comes(desk: Desk) -> None:
    """An earlier version wrote it; an earlier version of the worker may still run."""
    desk.hear_all()
    desk.hear(POLLS, 0, 9)
    desk.progress.set_topic_id(POLLS, "first")
    desk.highwaters.offsets[POLLS, 0] = 9
    assert (await desk.progress.catch_up())[POLLS, 0] == 9
    assert desk.highwaters.asked == 1

    desk.hear(POLLS, 0, 3, None, "first")
    task = await desk.waiting()

    assert not task.done()
    desk.hear(POLLS, 0, 9)
    await settle()
    assert task.done()


async def test_one_without_an_id_is_of_the_topic_that_was_there(desk: Desk) -> None:
    desk.progress.set_topic_id(POLLS, "first")
    desk.hear_all()
    desk.progress.set_topic_id(POLLS, "second")
    desk.look()
    assert (POLLS, 0) in desk.progress.unowned()
    assert (ZONES, 0) not in desk.progress.unowned()


async def test_what_reaches_beyond_the_end_of_its_topic_does_not_count(desk: Desk) -> None:
    """The topic was made anew a moment ago: its id is not known yet, or not told at all."""
    desk.hear_all()
    desk.hear(POLLS, 0, 1000, 70)
    desk.highwaters.offsets[POLLS, 0] = 1
    task = await desk.waiting()

    assert not task.done()
    assert desk.progress.newest_poll() is None
    desk.hear(POLLS, 0, 1)
    await settle()
    assert task.done()
