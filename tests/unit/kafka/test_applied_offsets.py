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
from stream_app.kafka import applied_offsets
from stream_app.kafka.applied_offsets import OWNER_TIMEOUT_SECONDS, AppliedOffsets
from stream_app.kafka.offsets import EndOffsetFetcher
from stream_app.periodic import cancel_tasks
from tests.agent_fakes import PARTITIONS, settings_with, settle

if TYPE_CHECKING:
    from collections.abc import Iterable

POLLS, HOURS, ZONES = STORE_STATUS.name, STORE_BUSINESS_HOURS.name, STORE_TIMEZONES.name
ALL = [TopicPartition(spec.name, number) for spec in SOURCE_TOPICS for number in range(PARTITIONS)]


class FakeEndOffsetFetcher(EndOffsetFetcher):
    """Says how far the topics reach; a test moves them."""

    def __init__(self) -> None:
        self.offsets: dict[TopicPartition, int] = dict.fromkeys(ALL, 0)
        self.asked = 0
        self.answer = asyncio.Event()
        self.answer.set()
        self.error: Exception | None = None

    async def fetch(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        self.asked += 1
        await asyncio.sleep(0)
        await self.answer.wait()
        if self.error is not None:
            raise self.error
        return {partition: self.offsets[partition] for partition in partitions}


class Harness:
    """A `AppliedOffsets` that hears what a test says, on a clock that a test moves."""

    def __init__(self) -> None:
        self.end_offset_fetcher = FakeEndOffsetFetcher()
        self.now = 1000.0
        self.progress = AppliedOffsets(
            settings_with(),
            self.end_offset_fetcher,
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
async def harness() -> Harness:
    return Harness()


async def test_nothing_to_wait_for_asks_once(harness: Harness) -> None:
    harness.hear_all()
    harness.end_offset_fetcher.offsets[POLLS, 1] = 6
    harness.hear(POLLS, 1, 6)

    reached = await harness.progress.catch_up()

    assert harness.end_offset_fetcher.asked == 1
    assert reached == harness.end_offset_fetcher.offsets


async def test_callers_that_come_during_a_question_share_the_next_one(harness: Harness) -> None:
    harness.hear_all()
    fetcher = harness.end_offset_fetcher
    fetcher.answer.clear()
    first = asyncio.create_task(harness.progress.source_end_offsets())
    await settle()
    others = [asyncio.create_task(harness.progress.source_end_offsets()) for _ in range(8)]
    await settle()
    assert fetcher.asked == 1

    # what is acknowledged before they came is in an answer to a question asked after they came
    fetcher.offsets[POLLS, 1] = 6
    fetcher.answer.set()

    assert [(await other)[POLLS, 1] for other in others] == [6] * 8
    assert (await first)[POLLS, 1] == 6
    assert fetcher.asked == 2


async def test_a_caller_that_gives_up_takes_nobody_elses_answer_away(harness: Harness) -> None:
    fetcher = harness.end_offset_fetcher
    fetcher.answer.clear()
    calls = [asyncio.create_task(harness.progress.source_end_offsets()) for _ in range(2)]
    await settle()
    calls[0].cancel()
    await settle()
    fetcher.answer.set()

    assert await calls[1] == fetcher.offsets
    assert fetcher.asked == 1


async def test_a_question_without_an_answer_does_not_hold_up_the_next_one(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applied_offsets, "_SHARED_QUESTION_SECONDS", 0.001)
    fetcher = harness.end_offset_fetcher
    fetcher.answer.clear()
    silent = asyncio.create_task(harness.progress.source_end_offsets())
    await settle()
    fetcher.answer = asyncio.Event()
    fetcher.answer.set()

    assert await harness.progress.source_end_offsets() == fetcher.offsets
    assert not silent.done()

    silent.cancel()
    await cancel_tasks(harness.progress._questions)


async def test_each_caller_hears_of_an_error(harness: Harness) -> None:
    harness.end_offset_fetcher.error = BrokerUnavailableError("gone")
    calls = [asyncio.create_task(harness.progress.source_end_offsets()) for _ in range(3)]
    await settle()

    assert [str(call.exception()) for call in calls] == ["gone"] * 3


async def test_watermarks_of_no_source_partition_are_not_kept(harness: Harness) -> None:
    harness.hear("no-such-topic", 0, 5, newest=9)
    harness.hear(POLLS, PARTITIONS, 5, newest=9)
    assert harness.progress.newest_poll() is None


async def test_it_waits_for_every_partition(harness: Harness) -> None:
    harness.hear_all()
    harness.end_offset_fetcher.offsets[POLLS, 1] = 5
    harness.end_offset_fetcher.offsets[ZONES, 3] = 2
    task = await harness.waiting()

    for topic, number, applied in ((POLLS, 1, 4), (ZONES, 3, 2), (POLLS, 2, 0)):
        harness.hear(topic, number, applied)
        await settle()
        assert not task.done()
    harness.hear(POLLS, 1, 5)
    await settle()

    assert task.done()


async def test_a_partition_that_nobody_has_spoken_for_is_waited_for(harness: Harness) -> None:
    for topic, number in ALL[:-1]:
        harness.hear(topic, number, 0)
    task = await harness.waiting()
    assert not task.done()

    topic, number = ALL[-1]
    harness.hear(topic, number, 0)
    await settle()

    assert task.done()


async def test_what_was_passed_on_while_it_waited_is_waited_for_too(harness: Harness) -> None:
    harness.hear_all()
    harness.end_offset_fetcher.offsets[POLLS, 0] = 1
    task = await harness.waiting()

    # the record of partition 0 belongs to partition 2: it is there before it counts as applied
    harness.end_offset_fetcher.offsets[POLLS, 2] = 1
    harness.hear(POLLS, 0, 1)
    await settle()
    assert harness.end_offset_fetcher.asked == 2
    assert not task.done()
    harness.hear(POLLS, 2, 1)
    await settle()

    assert (await task)[POLLS, 2] == 1
    assert harness.end_offset_fetcher.asked == 2


async def test_what_is_applied_while_it_asks_counts_as_waiting(harness: Harness) -> None:
    # so that the second round looks for what it may have passed on
    harness.hear_all()
    harness.end_offset_fetcher.offsets[POLLS, 0] = 1
    task = asyncio.create_task(harness.progress.catch_up())
    await asyncio.sleep(0)
    harness.hear(POLLS, 0, 1)
    await settle()

    assert task.done()
    assert harness.end_offset_fetcher.asked == 2


async def test_many_wait_at_once(harness: Harness) -> None:
    harness.hear_all()
    harness.end_offset_fetcher.offsets[POLLS, 0] = 1
    tasks = [await harness.waiting() for _ in range(5)]

    harness.hear(POLLS, 0, 1)
    await settle()

    assert all(task.done() for task in tasks)


async def test_one_that_gives_up_leaves_the_others_waiting(harness: Harness) -> None:
    harness.hear_all()
    harness.end_offset_fetcher.offsets[POLLS, 0] = 1
    one, other = [await harness.waiting() for _ in range(2)]

    one.cancel()
    await settle()
    harness.hear(POLLS, 0, 1)
    await settle()

    assert one.cancelled()
    assert other.done()
    assert harness.progress._waiters == 0


async def test_a_broker_that_does_not_answer_is_said(harness: Harness) -> None:
    harness.end_offset_fetcher.error = BrokerUnavailableError("gone")

    with pytest.raises(BrokerUnavailableError):
        await harness.progress.catch_up()


async def test_an_older_watermark_takes_nothing_back(harness: Harness) -> None:
    harness.hear_all()
    harness.end_offset_fetcher.offsets[POLLS, 0] = 5
    harness.hear(POLLS, 0, 5, 70)
    harness.hear(POLLS, 0, 3, None)

    await harness.progress.catch_up()

    assert harness.end_offset_fetcher.asked == 1
    assert harness.progress.newest_poll() == 70


# -- owners


async def test_a_partition_never_heard_of_has_no_owner(harness: Harness) -> None:
    assert harness.progress.unowned() == ALL
    harness.look()
    assert harness.progress.unowned() == ALL


async def test_a_partition_that_falls_silent_loses_its_owner(harness: Harness) -> None:
    harness.hear_all()
    harness.look(OWNER_TIMEOUT_SECONDS)
    assert harness.progress.unowned() == []

    harness.hear(ZONES, 2, 0)
    harness.look(0.1)

    assert harness.progress.unowned() == [p for p in ALL if p != (ZONES, 2)]


async def test_an_older_watermark_is_a_sign_of_life(harness: Harness) -> None:
    harness.hear_all()
    harness.hear(POLLS, 0, 9)
    harness.now += OWNER_TIMEOUT_SECONDS + 1
    harness.hear(POLLS, 0, 3)
    harness.look()

    assert (POLLS, 0) not in harness.progress.unowned()


async def test_what_this_process_has_yet_to_read_may_be_a_sign_of_life(harness: Harness) -> None:
    """An API that stood still for a while must not take all workers for gone."""
    harness.hear_all()
    harness.look()
    harness.now += OWNER_TIMEOUT_SECONDS * 10

    assert harness.progress.unowned() == []


async def test_unowned_partitions_are_named_with_the_progress_of_their_restores(
    harness: Harness,
) -> None:
    harness.hear_all()
    harness.look()
    assert harness.progress.why_unowned() is None

    harness.look(OWNER_TIMEOUT_SECONDS + 0.1)
    told = harness.progress.why_unowned()
    assert told is not None
    assert told.startswith("no worker owns partitions 0, 1, 2, 3 now: ")

    for topic in (POLLS, HOURS, ZONES):
        for number in (0, 1, 3):
            harness.hear(topic, number, 0)
    status = RestoreStatus(2, 1200, 33_800, 7)
    harness.progress._on_record(SimpleNamespace(value=encode_restore(status)))
    harness.look()
    assert harness.progress.why_unowned() == (
        "no worker owns partition 2 now: partition 2 is being restored: 1,200 of 35,000 "
        "changelog records read, about 7 s left"
    )

    # a restore that nobody has told of lately is nobody's
    for topic in (POLLS, HOURS, ZONES):
        for number in (0, 1, 3):
            harness.now += 0.2
            harness.hear(topic, number, 0)
    harness.look()
    assert "being restored" not in str(harness.progress.why_unowned())


@pytest.mark.parametrize(
    "value",
    [
        b'{"restore": 1, "done": -1, "to_do": 0}',
        b'{"restore": "1", "done": 1, "to_do": 0}',
        b'{"restore": 1, "done": 1, "to_do": 0, "seconds_left": "soon"}',
        b'{"restore": true, "done": 1, "to_do": 0}',
    ],
)
async def test_a_stray_restore_status_is_refused(harness: Harness, value: bytes) -> None:
    with pytest.raises(RecordError):
        harness.progress._on_record(SimpleNamespace(value=value))


async def test_a_restore_of_a_partition_that_is_none_is_not_kept(harness: Harness) -> None:
    harness.progress._on_record(SimpleNamespace(value=encode_restore(RestoreStatus(99, 1, 1))))

    assert harness.progress._restores == {}


# -- the newest poll


async def test_the_newest_poll_is_that_of_all_partitions(harness: Harness) -> None:
    assert harness.progress.newest_poll() is None
    harness.hear_all()
    assert harness.progress.newest_poll() is None

    for number, newest in enumerate((40, None, 90, 70)):
        harness.hear(POLLS, number, 1, newest)

    assert harness.progress.newest_poll() == 90


async def test_only_the_polls_topic_tells_of_polls(harness: Harness) -> None:
    harness.hear(POLLS, 0, 1, 5)
    harness.hear(ZONES, 0, 1, 99)

    assert harness.progress.newest_poll() == 5


# -- a topic that was deleted and made anew


async def test_a_watermark_of_the_topic_before_counts_no_more(harness: Harness) -> None:
    harness.progress.set_topic_id(POLLS, "first")
    harness.hear_all()
    harness.hear(POLLS, 0, 5, 70, "first")
    harness.end_offset_fetcher.offsets[POLLS, 0] = 5
    await harness.progress.catch_up()

    harness.progress.set_topic_id(POLLS, "second")
    # whoever reads the topic that is gone is nobody's owner, however often it is heard
    harness.hear(POLLS, 0, 5, 70, "first")
    task = await harness.waiting()

    assert harness.progress.unowned() == [(POLLS, number) for number in range(PARTITIONS)]
    assert harness.progress.newest_poll() is None
    assert not task.done()

    for number in range(PARTITIONS):
        harness.hear(POLLS, number, harness.end_offset_fetcher.offsets[POLLS, number], 80, "second")
    await settle()
    assert task.done()
    assert harness.progress.unowned() == []
    assert harness.progress.newest_poll() == 80


async def test_watermarks_of_other_topics_stay(harness: Harness) -> None:
    for topic in (POLLS, ZONES):
        harness.progress.set_topic_id(topic, "first")
        harness.hear(topic, 0, 5, None, "first")

    harness.progress.set_topic_id(POLLS, "second")

    harness.look()
    assert (ZONES, 0) not in harness.progress.unowned()


async def test_a_watermark_of_a_topic_not_heard_of_yet_does_not_count(harness: Harness) -> None:
    harness.progress.set_topic_id(POLLS, "first")
    harness.hear(POLLS, 0, 5, 70, "second")
    assert harness.progress.newest_poll() is None


async def test_one_without_an_id_counts_until_one_with_an_id_comes(harness: Harness) -> None:
    """An earlier version wrote it; an earlier version of the worker may still run."""
    harness.hear_all()
    harness.hear(POLLS, 0, 9)
    harness.progress.set_topic_id(POLLS, "first")
    harness.end_offset_fetcher.offsets[POLLS, 0] = 9
    assert (await harness.progress.catch_up())[POLLS, 0] == 9
    assert harness.end_offset_fetcher.asked == 1

    harness.hear(POLLS, 0, 3, None, "first")
    task = await harness.waiting()

    assert not task.done()
    harness.hear(POLLS, 0, 9)
    await settle()
    assert task.done()


async def test_one_without_an_id_is_of_the_topic_that_was_there(harness: Harness) -> None:
    harness.progress.set_topic_id(POLLS, "first")
    harness.hear_all()
    harness.progress.set_topic_id(POLLS, "second")
    harness.look()
    assert (POLLS, 0) in harness.progress.unowned()
    assert (ZONES, 0) not in harness.progress.unowned()


async def test_what_reaches_beyond_the_end_of_its_topic_does_not_count(harness: Harness) -> None:
    """The topic was made anew a moment ago: its id is not known yet, or not told at all."""
    harness.hear_all()
    harness.hear(POLLS, 0, 1000, 70)
    harness.end_offset_fetcher.offsets[POLLS, 0] = 1
    task = await harness.waiting()

    assert not task.done()
    assert harness.progress.newest_poll() is None
    harness.hear(POLLS, 0, 1)
    await settle()
    assert task.done()
