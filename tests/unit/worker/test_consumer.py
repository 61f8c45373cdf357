"""The worker's consumer commits the offsets of `CommitTracker`, and none that Faust chooses."""

from __future__ import annotations

import asyncio
import threading
from contextlib import nullcontext
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaConnectionError
from aiokafka.structs import TopicPartition
from aiokafka.util import commit_structure_validate
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread
from faust.types import TP

from stream_app.kafka.safe_records import UnreadableRecords
from stream_app.worker.commit_tracker import CommitTracker
from stream_app.worker.consumer import ChunkScheduler, ConsumerThread, UptimeConsumer
from stream_app.worker.record_chunks import RecordChunk
from tests.agent_fakes import FakeEvent, FakeMessage, settle

if TYPE_CHECKING:
    from aiokafka.structs import OffsetAndMetadata

POLLS = TP("store-status", 0)
ZONES = TP("store-timezones", 0)
REQUESTS = TP("report-requests", 0)
OTHERS = TP("store-status", 1)


class Skipped:
    """A message that Faust acknowledges without an agent."""

    def __init__(self, offset: int) -> None:
        self.acked = False
        self.tp, self.topic, self.offset = POLLS, POLLS.topic, offset


class Kafka:
    """A client that records the commits, and checks their types as aiokafka does."""

    def __init__(self) -> None:
        self.committed: list[dict[TP, int]] = []
        self.error: Exception | None = None

    async def commit(self, offsets: dict[TopicPartition, OffsetAndMetadata]) -> None:
        if self.error is not None:
            raise self.error
        checked = commit_structure_validate(offsets)
        self.committed.append({TP(*tp): committed.offset for tp, committed in checked.items()})


class Harness:
    """A consumer whose thread is called directly, without the other parts of Faust."""

    def __init__(self) -> None:
        self.kafka = Kafka()
        self.commit_tracker = CommitTracker()
        thread = ConsumerThread.__new__(ConsumerThread)
        thread._consumer = self.kafka
        consumer: Any = UptimeConsumer.__new__(UptimeConsumer)
        consumer._commit_tracker = self.commit_tracker
        consumer._committed_offset = dict.fromkeys([POLLS])
        consumer._unacked_messages = set()
        consumer._waiting_for_ack = None
        consumer._commit = thread._commit
        consumer.assignment = lambda: {POLLS}
        consumer._kept_paused = set()
        consumer._active_partitions = set()
        consumer._paused_partitions = {POLLS, ZONES, REQUESTS, OTHERS}
        consumer._fetchable = asyncio.Event()
        consumer.flow_active = True
        self.consumer = consumer

    async def commit(self) -> bool:
        tps = self.consumer._filter_tps_with_pending_acks()
        offsets = self.consumer._filter_committable_offsets(tps)
        return bool(offsets) and await self.consumer._commit_offsets(offsets)

    def track(self, offset: int) -> Any:
        return self.commit_tracker.track(FakeEvent(FakeMessage(b"", offset=offset)))


@pytest.fixture
def harness() -> Harness:
    return Harness()


async def test_offsets_with_gaps_are_committed_at_once(harness: Harness) -> None:
    """Faust itself would commit one offset a second from the first gap on."""
    for offset in (3, 4, 9, 11):
        harness.track(offset).ack()

    assert await harness.commit()

    assert harness.kafka.committed == [{POLLS: 12}]
    assert not await harness.commit(), "there is nothing new"


async def test_a_message_that_faust_skips_is_not_committed(harness: Harness) -> None:
    harness.track(3).ack()
    skipped = Skipped(4)
    harness.consumer._unacked_messages.add(skipped)

    assert harness.consumer.ack(skipped)
    assert not harness.consumer.ack(skipped)
    await harness.commit()

    assert harness.consumer._unacked_messages == set(), "a stop would wait for it"
    assert harness.kafka.committed == [{POLLS: 4}]


@pytest.mark.parametrize(
    "error", [KafkaConnectionError(), CommitFailedError(), IllegalStateError()], ids=repr
)
async def test_a_commit_that_fails_is_made_up_for(harness: Harness, error: Exception) -> None:
    """Faust itself would forget the offsets that it had to commit, or end the worker."""
    harness.track(3).ack()
    harness.kafka.error = error
    assert not await harness.commit()

    harness.kafka.error = None
    assert await harness.commit()

    assert harness.kafka.committed == [{POLLS: 4}]


async def test_nothing_is_committed_of_partitions_that_are_not_assigned_any_more(
    harness: Harness,
) -> None:
    harness.track(3).ack()
    harness.consumer.assignment = set

    assert not await harness.commit()

    assert harness.kafka.committed == []


# -- when a partition is fetched


async def test_a_partition_is_fetched_when_it_is_restored_and_no_other_one_is(
    harness: Harness,
) -> None:
    """Faust resumes all partitions at the end of a rebalance, before they have their positions."""
    harness.consumer.resume_partitions({POLLS, ZONES, REQUESTS, OTHERS})
    assert harness.consumer._active_partitions == set()

    harness.consumer.fetch_partition(0)
    assert harness.consumer._active_partitions == {POLLS, ZONES, REQUESTS}

    harness.consumer.fetch_partition(1)
    assert harness.consumer._active_partitions == {POLLS, ZONES, REQUESTS, OTHERS}


async def test_no_partition_is_fetched_once_the_next_rebalance_has_begun(harness: Harness) -> None:
    harness.consumer.resume_partitions({POLLS, OTHERS})
    harness.consumer.pause_partitions({POLLS, OTHERS})

    harness.consumer.fetch_partition(0)

    assert harness.consumer._active_partitions == set()


async def test_a_partition_that_is_paused_is_not_fetched_until_it_is_restored_again(
    harness: Harness,
) -> None:
    harness.consumer.assignment = lambda: {POLLS, ZONES, OTHERS}
    harness.consumer.resume_partitions({POLLS, ZONES, OTHERS})
    harness.consumer.fetch_partition(0)
    harness.consumer.fetch_partition(1)

    harness.consumer.pause_partition(0)
    assert harness.consumer._active_partitions == {OTHERS}

    harness.consumer.fetch_partition(0)
    assert harness.consumer._active_partitions == {POLLS, ZONES, OTHERS}


async def test_faust_leaves_the_positions_alone(harness: Harness) -> None:
    """Faust itself would seek to the committed offset, which is not the position of the table."""

    async def seek(*_: Any) -> None:
        raise AssertionError

    harness.consumer.seek_to_committed = seek
    harness.consumer._read_offset = {POLLS: 7}

    await harness.consumer.perform_seek()

    assert harness.consumer._read_offset == {POLLS: 7}


async def test_a_fetch_waits_for_a_partition_and_not_for_a_second(harness: Harness) -> None:
    """Faust sleeps for a second while no partition is active."""
    fetches: list[set[TP]] = []

    async def wait(_self: Any, _timeout: float) -> Any:
        fetches.append(set(harness.consumer._active_partitions))
        return {}, harness.consumer._active_partitions

    harness.consumer._get_active_partitions = lambda: harness.consumer._active_partitions
    harness.consumer.resume_partitions({POLLS})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("faust.transport.consumer.Consumer._wait_next_records", wait)
        waiting = asyncio.create_task(harness.consumer._wait_next_records(10_000))
        await settle()
        assert fetches == []

        harness.consumer.fetch_partition(0)
        await waiting

    assert fetches == [{POLLS}]


async def test_nothing_is_fetched_while_no_partition_is_restored(harness: Harness) -> None:
    harness.consumer._get_active_partitions = lambda: harness.consumer._active_partitions

    assert await harness.consumer._wait_next_records(0) == ({}, set())


async def test_a_seek_is_made_in_the_thread_that_fetches(harness: Harness) -> None:
    """The fetcher of aiokafka is not safe for two threads: one would remove what the other uses."""
    seeks: list[tuple[int, Any, int]] = []
    kafka = SimpleNamespace(
        seek=lambda tp, offset: seeks.append((threading.get_ident(), tp, offset)),
    )
    loop = asyncio.new_event_loop()
    fetching = threading.Thread(target=loop.run_forever)
    fetching.start()
    harness.consumer._thread = SimpleNamespace(_ensure_consumer=lambda: kafka, thread_loop=loop)
    try:
        await harness.consumer._seek(POLLS, 7)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        await asyncio.to_thread(fetching.join)
        loop.close()

    assert seeks == [(fetching.ident, TopicPartition(POLLS.topic, POLLS.partition), 7)]


# -- chunks of records


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


def test_source_records_come_in_chunks_and_all_others_one_by_one() -> None:
    fetched = {
        POLLS: [record(offset) for offset in range(45_000)],
        REQUESTS: [record(offset, REQUESTS.topic) for offset in range(2)],
    }

    scheduled: dict[TP, list[Any]] = {tp: [] for tp in fetched}
    for tp, each in ChunkScheduler().iterate(fetched):
        scheduled[tp].append(each)

    assert [len(chunk.records) for chunk in scheduled[POLLS]] == [20_000, 20_000, 5_000]
    assert scheduled[REQUESTS] == fetched[REQUESTS]


def test_a_chunk_is_a_message_at_the_offset_of_its_last_record() -> None:
    harness = Harness()
    harness.consumer.app = SimpleNamespace(consumer_generation_id=4)

    message = harness.consumer._to_message(POLLS, RecordChunk([record(7), record(9)]))
    single = harness.consumer._to_message(REQUESTS, record(3, REQUESTS.topic))

    assert (message.tp, message.offset, message.generation_id) == (POLLS, 9, 4)
    assert [each.offset for each in message.records] == [7, 9]
    assert message.timestamp == 1_700_000_000.123
    assert (single.offset, single.value) == (3, b"v")


def test_a_range_that_cannot_be_read_is_among_the_records_and_counts_to_its_end() -> None:
    harness = Harness()
    harness.consumer.app = SimpleNamespace(consumer_generation_id=4)
    unreadable = UnreadableRecords(REQUESTS.topic, 0, 5, 5, 8, 1_700_000_000_123, "damaged")
    fetched = {REQUESTS: [record(4, REQUESTS.topic), unreadable, record(9, REQUESTS.topic)]}

    first, middle, last = [each for _, each in ChunkScheduler().iterate(fetched)]
    message = harness.consumer._to_message(REQUESTS, middle)

    assert (first.offset, last.offset) == (4, 9)
    assert (message.offset, message.records) == (8, [unreadable])


# -- assignment


def test_partitions_are_assigned_by_the_assignor_of_the_product(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    consumer = SimpleNamespace()
    monkeypatch.setattr(AIOKafkaConsumerThread, "_create_worker_consumer", lambda *_: consumer)
    thread: Any = ConsumerThread.__new__(ConsumerThread)
    thread.consumer = SimpleNamespace(assignor="ours")

    thread._create_worker_consumer(None)

    assert consumer._partition_assignment_strategy == ("ours",)
    assert consumer._isolation_level == "read_committed"


# -- records stay in the client until they can be processed


async def test_no_record_leaves_the_client_while_no_partition_is_active() -> None:
    """The records would be discarded, and the client would go on behind them."""
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
