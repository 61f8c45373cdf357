"""A process can wait until all acknowledged records are applied."""

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
    """Returns the end offsets that a test sets."""

    def __init__(self) -> None:
        self.offsets: dict[TopicPartition, int] = dict.fromkeys(ALL, 0)
        self.questions = 0
        self.answer = asyncio.Event()
        self.answer.set()
        self.error: Exception | None = None

    async def fetch(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        self.questions += 1
        await asyncio.sleep(0)
        await self.answer.wait()
        if self.error is not None:
            raise self.error
        return {partition: self.offsets[partition] for partition in partitions}


class Harness:
    """An `AppliedOffsets` that gets a test's watermarks, on a clock that the test moves."""

    def __init__(self) -> None:
        self.end_offset_fetcher = FakeEndOffsetFetcher()
        self.now = 1000.0
        self.progress = AppliedOffsets(
            settings_with(),
            self.end_offset_fetcher,
            lambda: self.now,
        )

    def receive(
        self,
        topic: str,
        number: int,
        applied: int,
        newest: int | None = None,
        topic_id: str | None = None,
    ) -> None:
        self.progress.advance(Watermark(topic, number, applied, newest, topic_id))

    def end_round(self, seconds: float = 0.0) -> None:
        """Let time pass; all watermarks that came until then are read."""
        self.now += seconds
        self.progress._on_round()

    def receive_all(self) -> None:
        for topic, number in ALL:
            self.receive(topic, number, 0)
        self.end_round()

    async def waiting(self) -> asyncio.Task[dict[TopicPartition, int]]:
        task = asyncio.create_task(self.progress.catch_up())
        await settle()
        return task


@pytest.fixture
async def harness() -> Harness:
    return Harness()


async def test_a_caller_with_nothing_to_wait_for_asks_once(harness: Harness) -> None:
    harness.receive_all()
    harness.end_offset_fetcher.offsets[POLLS, 1] = 6
    harness.receive(POLLS, 1, 6)

    reached = await harness.progress.catch_up()

    assert harness.end_offset_fetcher.questions == 1
    assert reached == harness.end_offset_fetcher.offsets


async def test_callers_that_come_during_a_question_share_the_next_one(harness: Harness) -> None:
    harness.receive_all()
    fetcher = harness.end_offset_fetcher
    fetcher.answer.clear()
    first = asyncio.create_task(harness.progress.source_end_offsets())
    await settle()
    others = [asyncio.create_task(harness.progress.source_end_offsets()) for _ in range(8)]
    await settle()
    assert fetcher.questions == 1

    # the answer must be newer than the callers: it has all that was acknowledged before them
    fetcher.offsets[POLLS, 1] = 6
    fetcher.answer.set()

    assert [(await other)[POLLS, 1] for other in others] == [6] * 8
    assert (await first)[POLLS, 1] == 6
    assert fetcher.questions == 2


async def test_a_caller_that_gives_up_takes_nobody_elses_answer_away(harness: Harness) -> None:
    fetcher = harness.end_offset_fetcher
    fetcher.answer.clear()
    calls = [asyncio.create_task(harness.progress.source_end_offsets()) for _ in range(2)]
    await settle()
    calls[0].cancel()
    await settle()
    fetcher.answer.set()

    assert await calls[1] == fetcher.offsets
    assert fetcher.questions == 1


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


async def test_watermarks_of_unknown_partitions_are_not_stored(harness: Harness) -> None:
    harness.receive("no-such-topic", 0, 5, newest=9)
    harness.receive(POLLS, PARTITIONS, 5, newest=9)
    assert harness.progress.newest_poll() is None


async def test_a_caller_waits_for_every_partition(harness: Harness) -> None:
    harness.receive_all()
    harness.end_offset_fetcher.offsets[POLLS, 1] = 5
    harness.end_offset_fetcher.offsets[ZONES, 3] = 2
    task = await harness.waiting()

    for topic, number, applied in ((POLLS, 1, 4), (ZONES, 3, 2), (POLLS, 2, 0)):
        harness.receive(topic, number, applied)
        await settle()
        assert not task.done()
    harness.receive(POLLS, 1, 5)
    await settle()

    assert task.done()


async def test_a_partition_without_a_watermark_is_waited_for(harness: Harness) -> None:
    for topic, number in ALL[:-1]:
        harness.receive(topic, number, 0)
    task = await harness.waiting()
    assert not task.done()

    topic, number = ALL[-1]
    harness.receive(topic, number, 0)
    await settle()

    assert task.done()


async def test_records_that_are_forwarded_during_the_wait_are_waited_for_too(
    harness: Harness,
) -> None:
    harness.receive_all()
    harness.end_offset_fetcher.offsets[POLLS, 0] = 1
    task = await harness.waiting()

    # the record of partition 0 belongs to partition 2: it is forwarded before it counts as applied
    harness.end_offset_fetcher.offsets[POLLS, 2] = 1
    harness.receive(POLLS, 0, 1)
    await settle()
    assert harness.end_offset_fetcher.questions == 2
    assert not task.done()
    harness.receive(POLLS, 2, 1)
    await settle()

    assert (await task)[POLLS, 2] == 1
    assert harness.end_offset_fetcher.questions == 2


async def test_records_that_are_applied_during_the_question_lead_to_a_second_question(
    harness: Harness,
) -> None:
    # the second question finds the records that were forwarded meanwhile
    harness.receive_all()
    harness.end_offset_fetcher.offsets[POLLS, 0] = 1
    task = asyncio.create_task(harness.progress.catch_up())
    await asyncio.sleep(0)
    harness.receive(POLLS, 0, 1)
    await settle()

    assert task.done()
    assert harness.end_offset_fetcher.questions == 2


async def test_many_callers_wait_at_once(harness: Harness) -> None:
    harness.receive_all()
    harness.end_offset_fetcher.offsets[POLLS, 0] = 1
    tasks = [await harness.waiting() for _ in range(5)]

    harness.receive(POLLS, 0, 1)
    await settle()

    assert all(task.done() for task in tasks)


async def test_a_caller_that_gives_up_leaves_the_others_waiting(harness: Harness) -> None:
    harness.receive_all()
    harness.end_offset_fetcher.offsets[POLLS, 0] = 1
    one, other = [await harness.waiting() for _ in range(2)]

    one.cancel()
    await settle()
    harness.receive(POLLS, 0, 1)
    await settle()

    assert one.cancelled()
    assert other.done()
    assert harness.progress._waiters == 0


async def test_a_broker_that_does_not_answer_is_an_error_of_the_wait(harness: Harness) -> None:
    harness.end_offset_fetcher.error = BrokerUnavailableError("gone")

    with pytest.raises(BrokerUnavailableError):
        await harness.progress.catch_up()


async def test_an_older_watermark_takes_nothing_back(harness: Harness) -> None:
    harness.receive_all()
    harness.end_offset_fetcher.offsets[POLLS, 0] = 5
    harness.receive(POLLS, 0, 5, 70)
    harness.receive(POLLS, 0, 3, None)

    await harness.progress.catch_up()

    assert harness.end_offset_fetcher.questions == 1
    assert harness.progress.newest_poll() == 70


# -- owners


async def test_a_partition_without_a_watermark_has_no_owner(harness: Harness) -> None:
    assert harness.progress.unowned() == ALL
    harness.end_round()
    assert harness.progress.unowned() == ALL


async def test_a_partition_that_falls_silent_loses_its_owner(harness: Harness) -> None:
    harness.receive_all()
    harness.end_round(OWNER_TIMEOUT_SECONDS)
    assert harness.progress.unowned() == []

    harness.receive(ZONES, 2, 0)
    harness.end_round(0.1)

    assert harness.progress.unowned() == [p for p in ALL if p != (ZONES, 2)]


async def test_an_older_watermark_is_a_sign_of_life(harness: Harness) -> None:
    harness.receive_all()
    harness.receive(POLLS, 0, 9)
    harness.now += OWNER_TIMEOUT_SECONDS + 1
    harness.receive(POLLS, 0, 3)
    harness.end_round()

    assert (POLLS, 0) not in harness.progress.unowned()


async def test_a_watermark_that_is_not_read_yet_may_be_a_sign_of_life(harness: Harness) -> None:
    """An API that was stopped for a while must not report that all workers are gone."""
    harness.receive_all()
    harness.end_round()
    harness.now += OWNER_TIMEOUT_SECONDS * 10

    assert harness.progress.unowned() == []


async def test_unowned_partitions_are_named_with_the_progress_of_their_restores(
    harness: Harness,
) -> None:
    harness.receive_all()
    harness.end_round()
    assert harness.progress.why_unowned() is None

    harness.end_round(OWNER_TIMEOUT_SECONDS + 0.1)
    reason = harness.progress.why_unowned()
    assert reason is not None
    assert reason.startswith("no worker owns partitions 0, 1, 2, 3 now: ")

    for topic in (POLLS, HOURS, ZONES):
        for number in (0, 1, 3):
            harness.receive(topic, number, 0)
    status = RestoreStatus(2, 1200, 33_800, 7)
    harness.progress._on_record(SimpleNamespace(value=encode_restore(status)))
    harness.end_round()
    assert harness.progress.why_unowned() == (
        "no worker owns partition 2 now: partition 2 is being restored: 1,200 of 35,000 "
        "changelog records read, about 7 s left"
    )

    # a restore without a recent report has no worker any more
    for topic in (POLLS, HOURS, ZONES):
        for number in (0, 1, 3):
            harness.now += 0.2
            harness.receive(topic, number, 0)
    harness.end_round()
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


async def test_the_restore_of_an_unknown_partition_is_not_stored(harness: Harness) -> None:
    harness.progress._on_record(SimpleNamespace(value=encode_restore(RestoreStatus(99, 1, 1))))

    assert harness.progress._restores == {}


# -- the newest poll


async def test_the_newest_poll_is_that_of_all_partitions(harness: Harness) -> None:
    assert harness.progress.newest_poll() is None
    harness.receive_all()
    assert harness.progress.newest_poll() is None

    for number, newest in enumerate((40, None, 90, 70)):
        harness.receive(POLLS, number, 1, newest)

    assert harness.progress.newest_poll() == 90


async def test_only_the_topic_of_polls_gives_the_newest_poll(harness: Harness) -> None:
    harness.receive(POLLS, 0, 1, 5)
    harness.receive(ZONES, 0, 1, 99)

    assert harness.progress.newest_poll() == 5


# -- a topic that was deleted and created again


async def test_a_watermark_of_a_deleted_topic_counts_no_more(harness: Harness) -> None:
    harness.progress.set_topic_id(POLLS, "first")
    harness.receive_all()
    harness.receive(POLLS, 0, 5, 70, "first")
    harness.end_offset_fetcher.offsets[POLLS, 0] = 5
    await harness.progress.catch_up()

    harness.progress.set_topic_id(POLLS, "second")
    # a worker that still reads the deleted topic owns no partition of the new one
    harness.receive(POLLS, 0, 5, 70, "first")
    task = await harness.waiting()

    assert harness.progress.unowned() == [(POLLS, number) for number in range(PARTITIONS)]
    assert harness.progress.newest_poll() is None
    assert not task.done()

    for number in range(PARTITIONS):
        harness.receive(
            POLLS, number, harness.end_offset_fetcher.offsets[POLLS, number], 80, "second"
        )
    await settle()
    assert task.done()
    assert harness.progress.unowned() == []
    assert harness.progress.newest_poll() == 80


async def test_watermarks_of_other_topics_stay(harness: Harness) -> None:
    for topic in (POLLS, ZONES):
        harness.progress.set_topic_id(topic, "first")
        harness.receive(topic, 0, 5, None, "first")

    harness.progress.set_topic_id(POLLS, "second")

    harness.end_round()
    assert (ZONES, 0) not in harness.progress.unowned()


async def test_a_watermark_of_a_topic_that_is_not_known_yet_does_not_count(
    harness: Harness,
) -> None:
    harness.progress.set_topic_id(POLLS, "first")
    harness.receive(POLLS, 0, 5, 70, "second")
    assert harness.progress.newest_poll() is None


async def test_a_watermark_without_a_topic_id_counts_until_one_with_an_id_comes(
    harness: Harness,
) -> None:
    """Workers of an earlier version write no topic id, and one may still run."""
    harness.receive_all()
    harness.receive(POLLS, 0, 9)
    harness.progress.set_topic_id(POLLS, "first")
    harness.end_offset_fetcher.offsets[POLLS, 0] = 9
    assert (await harness.progress.catch_up())[POLLS, 0] == 9
    assert harness.end_offset_fetcher.questions == 1

    harness.receive(POLLS, 0, 3, None, "first")
    task = await harness.waiting()

    assert not task.done()
    harness.receive(POLLS, 0, 9)
    await settle()
    assert task.done()


async def test_a_watermark_without_a_topic_id_belongs_to_the_earlier_topic(
    harness: Harness,
) -> None:
    harness.progress.set_topic_id(POLLS, "first")
    harness.receive_all()
    harness.progress.set_topic_id(POLLS, "second")
    harness.end_round()
    assert (POLLS, 0) in harness.progress.unowned()
    assert (ZONES, 0) not in harness.progress.unowned()


async def test_a_watermark_beyond_the_end_of_its_topic_does_not_count(harness: Harness) -> None:
    """The topic was created again a moment ago, and its id is not known yet, or not available."""
    harness.receive_all()
    harness.receive(POLLS, 0, 1000, 70)
    harness.end_offset_fetcher.offsets[POLLS, 0] = 1
    task = await harness.waiting()

    assert not task.done()
    assert harness.progress.newest_poll() is None
    harness.receive(POLLS, 0, 1)
    await settle()
    assert task.done()
