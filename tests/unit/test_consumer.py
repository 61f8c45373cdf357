"""Faust's consumer commits what is done with, and nothing that Faust believes on its own."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaConnectionError
from aiokafka.util import commit_structure_validate
from faust.types import TP

from stream_app.agents.committable import Committable
from stream_app.consumer import ConsumerThread, RunScheduler, UptimeConsumer
from stream_app.kafka.runs import Run
from tests.agent_fakes import FakeEvent, FakeMessage

if TYPE_CHECKING:
    from aiokafka.structs import OffsetAndMetadata, TopicPartition

POLLS = TP("store-status", 0)
CHANGELOG = TP("a-changelog", 0)


class Skipped:
    """A message that Faust acknowledges without handing it to an agent."""

    def __init__(self, offset: int) -> None:
        self.acked = False
        self.tp, self.topic, self.offset = POLLS, POLLS.topic, offset


class Kafka:
    """The group as aiokafka sees it, as strict as aiokafka about types."""

    def __init__(self) -> None:
        self.committed: list[dict[TP, int]] = []
        self.error: Exception | None = None

    async def commit(self, offsets: dict[TopicPartition, OffsetAndMetadata]) -> None:
        if self.error is not None:
            raise self.error
        checked = commit_structure_validate(offsets)
        self.committed.append({TP(*tp): committed.offset for tp, committed in checked.items()})


class Desk:
    """A consumer whose thread is called directly; the rest of Faust is not needed to commit."""

    def __init__(self) -> None:
        self.kafka = Kafka()
        self.committable = Committable()
        thread = ConsumerThread.__new__(ConsumerThread)
        thread._consumer = self.kafka  # type: ignore[assignment]
        consumer: Any = UptimeConsumer.__new__(UptimeConsumer)
        consumer._committable = self.committable
        consumer._committed_offset = dict.fromkeys([POLLS])
        consumer._unacked_messages = set()
        consumer._waiting_for_ack = None
        consumer._commit = thread._commit
        consumer.assignment = lambda: {POLLS}
        consumer.app = SimpleNamespace(tables=SimpleNamespace(changelog_topics={CHANGELOG.topic}))
        consumer._held = set()
        consumer._fetchable = asyncio.Event()
        consumer._active_partitions = set()
        consumer._paused_partitions = {POLLS, CHANGELOG}
        self.consumer = consumer

    async def commit(self) -> bool:
        tps = self.consumer._filter_tps_with_pending_acks()
        offsets = self.consumer._filter_committable_offsets(tps)
        return bool(offsets) and await self.consumer._commit_offsets(offsets)

    def take(self, offset: int) -> Any:
        return self.committable.take(FakeEvent(FakeMessage(b"", offset=offset)))


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_offsets_with_holes_are_committed_at_once(desk: Desk) -> None:
    """Faust commits one more a second from the first hole on."""
    for offset in (3, 4, 9, 11):
        desk.take(offset).ack()

    assert await desk.commit()

    assert desk.kafka.committed == [{POLLS: 12}]
    assert not await desk.commit(), "there is nothing new"


async def test_what_faust_skips_is_not_committed(desk: Desk) -> None:
    desk.take(3).ack()
    skipped = Skipped(4)
    desk.consumer._unacked_messages.add(skipped)

    assert desk.consumer.ack(skipped)
    assert not desk.consumer.ack(skipped)
    await desk.commit()

    assert desk.consumer._unacked_messages == set(), "a stop would wait for it"
    assert desk.kafka.committed == [{POLLS: 4}]


@pytest.mark.parametrize(
    "error", [KafkaConnectionError(), CommitFailedError(), IllegalStateError()], ids=repr
)
async def test_a_commit_that_fails_is_made_up_for(desk: Desk, error: Exception) -> None:
    """Faust forgets what it was to commit, or ends the worker."""
    desk.take(3).ack()
    desk.kafka.error = error
    assert not await desk.commit()

    desk.kafka.error = None
    assert await desk.commit()

    assert desk.kafka.committed == [{POLLS: 4}]


async def test_partitions_that_went_away_are_left_alone(desk: Desk) -> None:
    desk.take(3).ack()
    desk.consumer.assignment = set

    assert not await desk.commit()

    assert desk.kafka.committed == []


# -- when records of the sources come


async def test_a_partition_is_fetched_from_when_it_is_owned_and_not_before(desk: Desk) -> None:
    """Faust resumes everything at the end of a rebalance, with positions that are not set yet."""
    other = TP(POLLS.topic, 1)
    desk.consumer.resume_partitions({POLLS, other})
    assert desk.consumer._active_partitions == set()

    desk.consumer.fetch_partition(0)
    assert desk.consumer._active_partitions == {POLLS}
    desk.consumer.fetch_partition(0)
    desk.consumer.fetch_partition(1)
    assert desk.consumer._active_partitions == {POLLS, other}


async def test_a_rebalance_that_begins_meanwhile_holds_it_further(desk: Desk) -> None:
    desk.consumer.resume_partitions({POLLS})
    desk.consumer.pause_partitions({POLLS})

    desk.consumer.fetch_partition(0)
    assert desk.consumer._active_partitions == set()


async def test_a_partition_that_somebody_else_claimed_is_held(desk: Desk) -> None:
    desk.consumer.resume_partitions({POLLS})
    desk.consumer.fetch_partition(0)

    desk.consumer.hold_partition(0)
    assert desk.consumer._active_partitions == set()
    desk.consumer.fetch_partition(0)
    assert desk.consumer._active_partitions == {POLLS}


async def test_faust_makes_no_seek_of_its_own(desk: Desk) -> None:
    """Where a partition is read on is set when its facts are restored."""
    desk.consumer._read_offset = {POLLS: 7}

    await desk.consumer.perform_seek()

    assert desk.consumer._read_offset == {POLLS: 7}


# -- runs of records


def record(offset: int, topic: str = POLLS.topic) -> SimpleNamespace:
    return SimpleNamespace(
        topic=topic,
        partition=0,
        offset=offset,
        timestamp=1_700_000_000_123,
        timestamp_type=1,
        headers=(),
        key=b"k",
        value=b"v",
        checksum=None,
        serialized_key_size=1,
        serialized_value_size=1,
    )


def test_sources_come_in_runs_and_everything_else_record_by_record() -> None:
    requests = TP("report-requests", 0)
    fetched = {
        POLLS: [record(offset) for offset in range(4_500)],
        requests: [record(offset, requests.topic) for offset in range(2)],
        CHANGELOG: [record(offset, CHANGELOG.topic) for offset in range(3)],
    }

    handed_out: dict[TP, list[Any]] = {tp: [] for tp in fetched}
    for tp, each in RunScheduler().iterate(fetched):
        handed_out[tp].append(each)

    assert [len(run.records) for run in handed_out[POLLS]] == [2000, 2000, 500]
    assert handed_out[requests] == fetched[requests]
    assert handed_out[CHANGELOG] == fetched[CHANGELOG]


def test_a_run_is_a_message_at_the_offset_of_its_last_record() -> None:
    desk = Desk()
    desk.consumer.app = SimpleNamespace(consumer_generation_id=4)

    message = desk.consumer._to_message(POLLS, Run([record(7), record(9)]))
    single = desk.consumer._to_message(CHANGELOG, record(3, CHANGELOG.topic))

    assert (message.tp, message.offset, message.generation_id) == (POLLS, 9, 4)
    assert [each.offset for each in message.records] == [7, 9]
    assert message.timestamp == 1_700_000_000.123
    assert (single.offset, single.value) == (3, b"v")


# -- nothing is fetched that nobody takes


async def test_nothing_is_taken_from_the_client_while_no_partition_is_active() -> None:
    """It would be thrown away, and the client's position would be behind it."""
    fetched: dict[TP, Any] = {POLLS: SimpleNamespace(check_raise=lambda: None)}
    subscriptions = SimpleNamespace(
        reassignment_in_progress=False, is_assigned=lambda _: True, fetch_context=nullcontext
    )
    fetcher = SimpleNamespace(
        _records=fetched,
        _subscriptions=subscriptions,
        _closed=False,
        _wait_consume_future=None,
        _notify=lambda _: None,
    )
    fetcher.fetched_records = partial(Fetcher.fetched_records, fetcher)
    thread: Any = ConsumerThread.__new__(ConsumerThread)
    thread.consumer = SimpleNamespace(flow_active=True)
    client = SimpleNamespace(_fetcher=fetcher, _closed=False)
    active: set[TP] = set()

    assert await thread._fetch_records(client, active, timeout=0) == {}
    assert POLLS in fetched

    active.add(POLLS)
    await thread._fetch_records(client, active, timeout=0)
    assert POLLS not in fetched
