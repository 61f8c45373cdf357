"""A worker owns an assigned partition once it has read the changelog up to its own claim."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import IllegalStateError, ProducerFenced
from faust.types import TP

from stream_app.contracts.topics import (
    CONSUMED_TOPICS,
    REPORT_REQUESTS,
    SOURCE_TOPICS,
    STORE_STATUS,
    STORE_TIMEZONES,
)
from stream_app.contracts.watermarks import RestoreStatus
from stream_app.errors import BrokerUnavailableError, RevokedError, TableError
from stream_app.kafka.batch_producer import BatchMetadata
from stream_app.kafka.fenced_producer import FencedProducer
from stream_app.kafka.log_reader import FETCH_BYTES, FetchedLog, LogReader
from stream_app.kafka.start_offsets import GroupOffsets, GroupOffsetsReader
from stream_app.worker import assignment as module
from stream_app.worker.assignment import PartitionAssignment
from stream_app.worker.assignor import Copy
from stream_app.worker.commit_tracker import CommitTracker
from stream_app.worker.facts import restorer
from stream_app.worker.facts.databases import FactsDatabases
from stream_app.worker.facts.keys import CLAIM_KEY, LOST_KEY, POSITION_KEY, TIMEZONE_TAG, store_key
from stream_app.worker.facts.partition_records import (
    LostRange,
    SourcePosition,
    decode_positions,
    encode_lost,
    encode_positions,
)
from stream_app.worker.facts.restore_service import RestoreService
from stream_app.worker.facts.table import CHANGELOG, FactsTable
from stream_app.worker.gap_skipper import LostInput
from stream_app.worker.latest_polls import LatestPollPublisher
from stream_app.worker.metrics import WorkerMetrics
from stream_app.worker.owned_partitions import OwnedPartition, OwnedPartitions
from tests.agent_fakes import (
    PARTITIONS,
    Failures,
    FakeAppliedOffsets,
    FakeBatch,
    FakeEvent,
    FakeMessage,
    RecordingPublisher,
    settings_with,
    settle,
    store_in,
)
from tests.changelog_fakes import UNAVAILABLE, FakeLog

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from pathlib import Path

POLLS, ZONES = STORE_STATUS.name, STORE_TIMEZONES.name
STORE = store_key(store_in(0))


class Changelog(FencedProducer, LogReader):
    """The changelog: its reader, and the producer that has claimed partitions of it.

    Attributes:
        logs: the log of each partition.
        claimed: the partition of every claim, in order.
        errors: raised by the next claims, in order.
        claim_record_errors: errors of the next claim records, in order.
        steps: claims and steps of the consumer, in order.
    """

    def __init__(self, steps: list[str]) -> None:
        self.logs = {partition: FakeLog() for partition in range(PARTITIONS)}
        self.claimed: list[int] = []
        self.errors: list[Exception] = []
        self.claim_record_errors: list[Exception] = []
        self.steps = steps

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass

    async def fetch(
        self, topic: str, partition: int, offset: int, *, max_bytes: int = FETCH_BYTES
    ) -> FetchedLog:
        assert topic == CHANGELOG
        return await self.logs[partition].fetch(topic, partition, offset, max_bytes=max_bytes)

    async def beginning(self, topic: str, partition: int) -> int:
        return await self.logs[partition].beginning(topic, partition)

    async def end(self, topic: str, partition: int) -> int:
        return await self.logs[partition].end(topic, partition)

    async def claim(self, partitions: Iterable[int]) -> None:
        await asyncio.sleep(0)
        if self.errors:
            raise self.errors.pop(0)
        self.claimed += partitions
        self.steps += [f"claim {partition}" for partition in partitions]

    def add(self, partition: int, key: bytes, value: bytes | None) -> FakeBatch:
        sent: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if key == CLAIM_KEY and self.claim_record_errors:
            sent.set_exception(self.claim_record_errors.pop(0))
        else:
            log = self.logs[partition]
            sent.set_result(BatchMetadata(log.last, 0))
            log.add((key, value))
        return FakeBatch(sent)


class Group(GroupOffsetsReader):
    """The brokers' answers about the offsets of the group.

    Attributes:
        requested: the partitions of every request, in order.
    """

    def __init__(self) -> None:
        self.committed: dict[tuple[str, int], int] = {}
        self.beginning = 0
        self.ends = [1000]
        self.errors: list[Exception] = []
        self.requested: list[set[int]] = []
        self.stopped = 0

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        self.stopped += 1

    async def read(self, partitions: Iterable[int]) -> GroupOffsets:
        partitions = list(partitions)
        self.requested.append(set(partitions))
        await asyncio.sleep(0)
        if self.errors:
            raise self.errors.pop(0)
        places = [(spec.name, p) for spec in CONSUMED_TOPICS for p in partitions]
        end = self.ends.pop(0) if len(self.ends) > 1 else self.ends[0]
        return GroupOffsets(
            dict(self.committed),
            dict.fromkeys(places, self.beginning),
            dict.fromkeys(places, end),
            {spec.name: "id" for spec in CONSUMED_TOPICS},
        )


class Consumer:
    """A consumer that records its positions and the partitions that it fetches."""

    def __init__(self, steps: list[str]) -> None:
        self.positions: dict[TP, int] = {}
        self.fetching: set[int] = set()
        self.steps = steps

    async def seek(self, partition: TP, offset: int) -> None:
        await asyncio.sleep(0)
        self.positions[partition] = offset

    def fetch_partition(self, number: int) -> None:
        self.fetching.add(number)
        self.steps.append(f"fetch {number}")

    def pause_partition(self, number: int) -> None:
        self.fetching.discard(number)
        self.steps.append(f"pause {number}")


class RecordingLostInput(LostInput):
    """Records the calls of `report`."""

    def __init__(self) -> None:
        self.reported: list[tuple[int, str, int, int]] = []

    async def report(self, owned: OwnedPartition, topic: str, first: int, end: int) -> None:
        self.reported.append((owned.number, topic, first, end))


class Harness:
    """An assignment with real databases, table and owned partitions; Kafka is a fake."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.steps: list[str] = []
        self.changelog = Changelog(self.steps)
        self.group = Group()
        self.consumer = Consumer(self.steps)
        self.lost_input = RecordingLostInput()
        self.failures = Failures()
        self.metrics = WorkerMetrics()
        self.commit_tracker = CommitTracker()
        self.publisher = RecordingPublisher()
        self.facts = FactsTable(settings_with(), self.failures)
        self.facts.producer = self.changelog
        self.latest = LatestPollPublisher(self.publisher)
        self.owned_partitions = OwnedPartitions(
            FakeAppliedOffsets(),
            self.publisher,
            self.latest,
            self.commit_tracker,
        )
        self.restores = RestoreService(
            FactsDatabases(folder, self.metrics.database_removed),
            self.changelog,
            self.metrics,
            PARTITIONS,
        )
        self.assignment = PartitionAssignment(
            self.group,
            self.facts,
            self.restores,
            self.owned_partitions,
            self.commit_tracker,
            self.lost_input,
        )
        self.assignment.attach(self.consumer, self.failures)

    def log(self, partition: int = 0) -> FakeLog:
        return self.changelog.logs[partition]

    async def assign(self, *partitions: int, ready: bool = True) -> None:
        """Rebalance, with these partitions as the new assignment."""
        self.assignment.revoke_all()
        topics = (REPORT_REQUESTS.name, POLLS)
        await self.assignment.on_assigned([TP(t, p) for t in topics for p in partitions])
        if ready:
            self.assignment.on_streams_ready()

    async def until(self, condition: Callable[[], bool]) -> None:
        for _ in range(5_000):
            if condition():
                return
            await asyncio.sleep(0)
        raise AssertionError(f"not in 5,000 turns; {self.steps}, {self.failures.errors}")

    async def owned(self, *partitions: int) -> None:
        await self.until(lambda: self.owned_partitions.owned == set(partitions))

    def position(self, topic: str = POLLS, partition: int = 0) -> int:
        return self.consumer.positions[TP(topic, partition)]

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"store_uptime_{name}", labels)


@pytest.fixture
async def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Harness]:
    for name in ("RECLAIM_SECONDS", "_RETRY_SECONDS", "_CONTESTED_SECONDS"):
        monkeypatch.setattr(module, name, 0)
    monkeypatch.setattr(restorer, "_RETRY_SECONDS", 0)
    monkeypatch.setattr(restorer, "_IDLE_SECONDS", 0)
    harness = Harness(tmp_path)
    await harness.restores.start()
    await harness.assignment.start()
    yield harness
    await harness.assignment.stop()
    await harness.restores.stop()
    assert harness.group.stopped == 1


# -- an assigned partition becomes an owned one


async def test_a_partition_is_claimed_restored_sought_and_owned(harness: Harness) -> None:
    harness.log().add((STORE + TIMEZONE_TAG, b"UTC"))
    harness.group.committed = {(POLLS, 0): 7}

    await harness.assign(0)
    await harness.owned(0)

    await settle()

    assert harness.steps == ["claim 0", "fetch 0"]
    assert harness.log().batches[1].records[0].key == CLAIM_KEY
    assert harness.log().batches[2].records[0].key == POSITION_KEY
    assert harness.restores.databases.of(0).checkpoint.next_offset == 3
    owned = harness.owned_partitions.get(0)
    assert owned is not None
    assert owned.stores == {STORE}
    assert harness.publisher.registered == [STORE]
    assert {t: f.position for t, f in owned.offset_trackers.items()} == {
        spec.name: 7 if spec is STORE_STATUS else 0 for spec in SOURCE_TOPICS
    }
    assert harness.consumer.positions == {
        TP(spec.name, 0): 7 if spec is STORE_STATUS else 0 for spec in CONSUMED_TOPICS
    }
    assert harness.facts._open[0].get(STORE + TIMEZONE_TAG) == b"UTC"
    assert harness.assignment.assigned == {0}
    assert harness.failures.errors == []


async def test_sources_go_on_at_their_positions_in_the_changelog(harness: Harness) -> None:
    known = {POLLS: SourcePosition("id", 50), ZONES: SourcePosition("id", 4)}
    harness.log().add((POSITION_KEY, encode_positions(known)))
    harness.group.committed = {(POLLS, 0): 90, (ZONES, 0): 3, (REPORT_REQUESTS.name, 0): 12}

    await harness.assign(0)
    await harness.owned(0)

    assert harness.position(POLLS) == 50, "the group's commit may be that of a fenced owner"
    assert harness.position(ZONES) == 3
    assert harness.position(REPORT_REQUESTS.name) == 12
    owned = harness.owned_partitions.get(0)
    assert owned is not None
    assert owned.positions[POLLS] == SourcePosition("id", 50)


async def test_requests_without_a_commit_are_read_from_their_beginning(harness: Harness) -> None:
    harness.group.beginning = 30

    await harness.assign(0)
    await harness.owned(0)

    assert harness.position(REPORT_REQUESTS.name) == 30
    assert harness.position(POLLS) == 0, "records deleted before the first worker came are a loss"


async def test_a_position_beyond_an_end_offset_from_before_the_claim_is_compared_again(
    harness: Harness,
) -> None:
    """A former owner may apply records after the end offset was read and before it is fenced."""
    harness.log().add((POSITION_KEY, encode_positions({POLLS: SourcePosition("id", 50)})))
    harness.group.ends = [40, 60]

    await harness.assign(0)
    await harness.owned(0)

    assert harness.position(POLLS) == 50


async def test_lost_ranges_are_remembered_from_the_changelog(harness: Harness) -> None:
    lost = [LostRange(POLLS, 0, 3, 9, 17)]
    harness.log().add((LOST_KEY, encode_lost(lost)))

    await harness.assign(0)
    await harness.owned(0)

    owned = harness.owned_partitions.get(0)
    assert owned is not None
    assert owned.lost_ranges == lost


async def test_records_that_the_changelog_lost_are_reported_by_the_owner(harness: Harness) -> None:
    harness.log().add((STORE + TIMEZONE_TAG, b"UTC"), at=5)
    harness.log().first = 5

    await harness.assign(0)
    await harness.owned(0)
    await settle()

    assert harness.lost_input.reported == [(0, CHANGELOG, 0, 5)]


async def test_each_partition_is_owned_when_it_is_restored(harness: Harness) -> None:
    harness.log(1).add((store_key(store_in(1)) + TIMEZONE_TAG, b"UTC"))
    harness.log(1).gate.clear()

    await harness.assign(0, 1, 2)
    await harness.owned(0, 2)
    await settle()
    assert harness.owned_partitions.owned == {0, 2}
    harness.log(1).gate.set()

    await harness.owned(0, 1, 2)


async def test_nothing_is_owned_before_the_streams_are_ready(harness: Harness) -> None:
    await harness.assign(0, ready=False)
    await harness.until(lambda: harness.restores.of(0).progress is not None)
    await settle()
    assert harness.owned_partitions.owned == frozenset()
    assert harness.consumer.fetching == set()

    harness.assignment.on_streams_ready()

    await harness.owned(0)


async def test_the_streams_of_the_last_assignment_are_not_those_of_this_one(
    harness: Harness,
) -> None:
    await harness.assign(0)
    await harness.owned(0)

    await harness.assign(0, 1, ready=False)
    await harness.until(lambda: sorted(harness.changelog.claimed) == [0, 0, 1])
    await settle()
    assert harness.owned_partitions.owned == frozenset()

    harness.assignment.on_streams_ready()
    await harness.owned(0, 1)


async def test_without_partitions_nothing_is_claimed(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    await harness.assign()

    assert harness.changelog.claimed == []
    assert caplog.messages == ["assigned partitions none", "own partitions none"]


async def test_events_that_were_in_flight_before_the_assignment_are_forgotten(
    harness: Harness,
) -> None:
    harness.commit_tracker.track(FakeEvent(FakeMessage(b"", partition=3)))

    await harness.assign(0)

    assert list(harness.commit_tracker.partitions()) == []


async def test_records_that_arrive_before_a_partition_is_owned_are_not_committed(
    harness: Harness,
) -> None:
    await harness.assign(0, ready=False)
    harness.commit_tracker.track(FakeEvent(FakeMessage(b""))).ack()
    harness.commit_tracker.track(FakeEvent(FakeMessage(b"", partition=1))).ack()

    harness.assignment.on_streams_ready()
    await harness.owned(0)

    assert harness.commit_tracker.offset(TopicPartition(POLLS, 0)) is None
    assert harness.commit_tracker.offset(TopicPartition(POLLS, 1)) == 1


# -- rebalances during the steps


async def test_a_rebalance_leaves_restores_running_and_a_partition_that_stays_is_claimed_again(
    harness: Harness,
) -> None:
    for number in range(4):
        harness.log(1).add((store_key(store_in(1)) + TIMEZONE_TAG, b"%d" % number))
    stop_at = len(harness.log(1).batches) - 2

    def stop_answers() -> None:
        if len(harness.log(1).offsets) == stop_at:
            harness.log(1).gate.clear()

    harness.log(1).on_fetch = stop_answers
    await harness.assign(0, 1)
    await harness.owned(0)
    await harness.until(lambda: not harness.log(1).gate.is_set())
    reached = harness.restores.databases.of(1).reached
    assert reached == 1

    harness.assignment.revoke_all()
    await settle()
    assert harness.owned_partitions.owned == frozenset()
    assert harness.restores.running == {1}
    harness.log(1).gate.set()
    harness.log(1).on_fetch = lambda: None
    await harness.until(lambda: harness.restores.databases.of(1).reached == 5)
    await harness.assign(1)
    await harness.owned(1)

    assert harness.changelog.claimed == [0, 1, 1]
    assert harness.log(1).offsets == [0, 1, 2, 3, 4, 5], "it went on at its checkpoint"
    assert harness.facts._open[1].get(store_key(store_in(1)) + TIMEZONE_TAG) == b"3"
    assert harness.failures.errors == []


async def test_the_restore_of_a_partition_that_goes_is_stopped_where_it_is(
    harness: Harness,
) -> None:
    harness.log(1).add((store_key(store_in(1)) + TIMEZONE_TAG, b"1")).add(
        (STORE + TIMEZONE_TAG, b"2")
    )

    def stop_answers() -> None:
        if len(harness.log(1).offsets) == 2:
            harness.log(1).gate.clear()

    harness.log(1).on_fetch = stop_answers
    await harness.assign(0, 1)
    await harness.until(lambda: not harness.log(1).gate.is_set())

    await harness.assign(0)
    harness.log(1).gate.set()
    await harness.owned(0)
    await settle()

    assert harness.restores.running == set()
    assert harness.restores.databases.of(1).checkpoint.next_offset == 1


@pytest.mark.parametrize("turns", range(60))
async def test_a_rebalance_at_any_instant_opens_nothing_for_the_old_assignment(
    harness: Harness, turns: int
) -> None:
    harness.log().add((STORE + TIMEZONE_TAG, b"UTC"))
    await harness.assign(0)
    for _ in range(turns):
        await asyncio.sleep(0)

    harness.assignment.revoke_all()
    harness.assignment.close_all()
    harness.consumer.fetching.clear()
    harness.steps.clear()
    for _ in range(3):
        await settle()

    assert harness.owned_partitions.owned == frozenset()
    assert harness.facts._open == {}
    assert harness.consumer.fetching == set()
    assert harness.failures.errors == []
    await harness.assign(0)
    await harness.owned(0)
    assert harness.facts._open[0].get(STORE + TIMEZONE_TAG) == b"UTC"


@pytest.mark.parametrize("turns", range(0, 60, 3))
async def test_a_partition_that_is_assigned_again_at_once_is_whole(
    harness: Harness, turns: int
) -> None:
    """Each assignment claims the partition again, and continues the restore of the last one."""
    for number in range(10):
        harness.log().add((store_key(store_in(0, number)) + TIMEZONE_TAG, b"UTC"))
    for partitions in ((0, 1), (1,), (0,), (0, 2)):
        await harness.assign(*partitions)
        for _ in range(turns):
            await asyncio.sleep(0)

    await harness.owned(0, 2)

    owned = harness.owned_partitions.get(0)
    assert owned is not None
    assert owned.stores == {store_key(store_in(0, number)) for number in range(10)}
    assert harness.log().offsets == sorted(harness.log().offsets)
    assert harness.failures.errors == []


def written_positions(harness: Harness) -> dict[str, int]:
    """Return the last source positions in the changelog of partition 0."""
    written = [
        record.value
        for batch in harness.log().batches
        for record in batch.records
        if record.key == POSITION_KEY
    ]
    return {t: p.offset for t, p in decode_positions(written[-1] if written else None).items()}


async def test_an_event_that_ends_after_a_rebalance_began_still_moves_the_position(
    harness: Harness,
) -> None:
    """Otherwise the next owner would read the record again."""
    await harness.assign(0)
    await harness.owned(0)
    opened = harness.facts._open[0]
    in_flight = harness.commit_tracker.track(FakeEvent(FakeMessage(b"")))
    harness.assignment.revoke_all()
    opened.put(STORE + TIMEZONE_TAG, b"UTC")
    in_flight.ack()

    await harness.assignment.on_drained()
    assert written_positions(harness)[POLLS] == 1
    records = len(harness.log().batches)
    await harness.assignment.on_drained()

    assert len(harness.log().batches) == records
    harness.assignment.close_all()
    with pytest.raises(RevokedError):
        opened.put(STORE + TIMEZONE_TAG, b"Asia/Gaza")


async def test_an_event_in_flight_moves_no_position(harness: Harness) -> None:
    await harness.assign(0)
    await harness.owned(0)
    harness.commit_tracker.track(FakeEvent(FakeMessage(b"")))
    harness.assignment.revoke_all()

    await harness.assignment.on_drained()

    assert written_positions(harness) == {spec.name: 0 for spec in SOURCE_TOPICS}


@pytest.mark.parametrize("trouble", ["fenced", "the broker is away", "closed"])
async def test_a_last_position_that_cannot_be_written_delays_no_rebalance(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    await harness.assign(0)
    await harness.owned(0)
    harness.commit_tracker.track(FakeEvent(FakeMessage(b""))).ack()
    harness.assignment.revoke_all()
    sent: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    monkeypatch.setattr(harness.changelog, "add", lambda *_: FakeBatch(sent))
    if trouble == "fenced":
        sent.set_exception(ProducerFenced())
    elif trouble == "closed":
        harness.facts.revoke(0)
    else:
        monkeypatch.setattr(module, "_LAST_POSITIONS_SECONDS", 0)

    await harness.assignment.on_drained()

    assert harness.failures.errors == []


# -- claims of other workers


async def test_a_fenced_partition_is_revoked_and_claimed_again_later(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await harness.assign(0, 1)
    await harness.owned(0, 1)
    monkeypatch.setattr(module, "RECLAIM_SECONDS", 10_000)
    caplog.clear()
    harness.steps.clear()

    harness.assignment.on_interrupted(0, fenced=True)
    harness.assignment.on_interrupted(0, fenced=True)
    await settle()

    assert harness.owned_partitions.owned == {1}
    assert 0 not in harness.facts._open
    assert harness.steps == ["pause 0"], "the next claim waits for the group to notice who is gone"
    assert harness.value("fencings_total") == 1
    (line,) = caplog.messages
    assert line.startswith("partition 0 was claimed by another worker")
    assert harness.failures.errors == []


async def test_a_partition_that_stays_assigned_is_owned_again_with_the_other_owners_writes(
    harness: Harness,
) -> None:
    await harness.assign(0, 1)
    await harness.owned(0, 1)
    harness.log().add((CLAIM_KEY, b"another worker"), (STORE + TIMEZONE_TAG, b"UTC"))

    harness.assignment.on_interrupted(0, fenced=True)
    await harness.owned(0, 1)

    assert harness.changelog.claimed == [0, 1, 0]
    assert harness.facts._open[0].get(STORE + TIMEZONE_TAG) == b"UTC"
    assert harness.consumer.fetching == {0, 1}


async def test_a_fenced_write_revokes_the_partition_until_it_is_claimed_again(
    harness: Harness,
) -> None:
    await harness.assign(0)
    await harness.owned(0)
    sent: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    harness.changelog.add = lambda *_: FakeBatch(sent)  # type: ignore[method-assign]
    harness.facts._open[0].put(STORE + TIMEZONE_TAG, b"UTC")
    del harness.changelog.add

    sent.set_exception(ProducerFenced())
    await harness.until(lambda: "pause 0" in harness.steps)
    await harness.owned(0)

    assert harness.changelog.claimed == [0, 0]
    assert harness.facts._open[0].get(STORE + TIMEZONE_TAG) is None
    assert harness.failures.errors == []


async def test_a_rebalance_ends_the_wait_for_the_next_claim(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    await harness.assign(0, 1)
    await harness.owned(0, 1)
    monkeypatch.setattr(module, "RECLAIM_SECONDS", 10_000)
    harness.assignment.on_interrupted(0, fenced=True)
    await settle()

    await harness.assign(0)

    await harness.owned(0)
    assert harness.changelog.claimed == [0, 1, 0]


async def test_two_claims_at_once_end_no_worker(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    harness.changelog.claim_record_errors = [ProducerFenced(), ProducerFenced()]

    await harness.assign(0)
    await harness.owned(0)

    assert harness.changelog.claimed == [0, 0, 0]
    assert caplog.text.count("was claimed by another worker at the same time") == 2
    assert harness.failures.errors == []


async def test_brokers_that_are_away_are_waited_for(harness: Harness) -> None:
    harness.log().add((STORE + TIMEZONE_TAG, b"UTC"))
    harness.changelog.errors = [UNAVAILABLE] * 3
    harness.group.errors = [UNAVAILABLE] * 3
    harness.log().errors = [UNAVAILABLE] * 3

    await harness.assign(0)
    await harness.owned(0)

    assert harness.changelog.claimed == [0]
    assert harness.group.requested == [{0}] * 4
    assert harness.failures.errors == []


async def test_brokers_that_go_while_the_claim_is_written_are_waited_for(harness: Harness) -> None:
    harness.changelog.claim_record_errors = [BrokerUnavailableError("gone")]

    await harness.assign(0)
    await harness.owned(0)

    assert harness.failures.errors == []


# -- faults that end a worker


async def test_a_restore_that_stands_still_ends_the_worker_with_one_line(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restorer, "STALL_SECONDS", 0)
    harness.log().add((STORE + TIMEZONE_TAG, b"UTC"))
    harness.log().batches_a_fetch = 0

    await harness.assign(0)
    await harness.until(lambda: bool(harness.failures.errors))

    (error,) = harness.failures.errors
    assert str(error) == (
        "the restore of partition 0 stands still: it is at changelog offset 0 and goes to 2"
    )
    assert harness.owned_partitions.owned == frozenset()


async def test_a_database_that_fails_ends_the_worker(harness: Harness) -> None:
    harness.restores.databases.of(0).failed(OSError("IO error: a broken disk"))

    await harness.assign(0, 1)
    await harness.owned(1)
    await harness.until(lambda: bool(harness.failures.errors))

    (error,) = harness.failures.errors
    assert isinstance(error, TableError)
    assert "partition 0 fails: IO error: a broken disk" in str(error)


async def test_a_restore_that_fails_between_two_assignments_ends_nothing(harness: Harness) -> None:
    """Another worker may get the partition; if not, the next restore fails as well."""
    harness.log().add((STORE + TIMEZONE_TAG, b"UTC"))
    harness.log().gate.clear()
    await harness.assign(0)
    await harness.until(lambda: harness.restores.running == {0})
    harness.assignment.revoke_all()

    harness.restores.databases.of(0).failed(OSError("IO error: a broken disk"))
    harness.log().gate.set()
    await harness.until(lambda: harness.restores.running == set())
    await settle()

    assert harness.failures.errors == []


# -- copies and standbys


async def test_the_copies_of_a_worker_say_which_partitions_it_owned_before_the_rebalance(
    harness: Harness,
) -> None:
    harness.log(0).add((STORE + TIMEZONE_TAG, b"UTC"))
    harness.log(1).add((store_key(store_in(1)) + TIMEZONE_TAG, b"UTC"))
    await harness.assign(0, 1)
    await harness.owned(0, 1)
    await settle()
    await harness.assign(1)
    await harness.owned(1)
    copies = {0: Copy(3, owned=False), 1: Copy(4, owned=True)}
    assert harness.assignment.copies() == copies

    harness.assignment.revoke_all()
    assert harness.assignment.copies() == copies
    harness.assignment.revoke_all()
    assert harness.assignment.copies() == copies, "a rebalance may begin again before it has ended"


async def test_a_standby_is_followed_from_the_next_assignment_on(harness: Harness) -> None:
    harness.log(1).add((store_key(store_in(1)) + TIMEZONE_TAG, b"UTC"))
    harness.assignment.set_standby(frozenset({0, 1}))
    await harness.assign(0)
    await harness.owned(0)
    await harness.until(lambda: harness.restores.databases.of(1).reached == 1)

    assert harness.changelog.claimed == [0], "its owner goes on writing"
    assert harness.restores.running == {1}
    harness.log(1).add((store_key(store_in(1)) + TIMEZONE_TAG, b"Asia/Gaza"))
    await harness.until(lambda: harness.restores.databases.of(1).reached == 2)


async def test_a_standby_goes_on_during_a_rebalance_and_ends_when_it_is_a_standby_no_more(
    harness: Harness,
) -> None:
    harness.assignment.set_standby(frozenset({1}))
    await harness.assign(0)
    task = harness.restores._running[1]
    await harness.assign(0)
    assert harness.restores._running[1] is task

    harness.assignment.set_standby(frozenset())
    await harness.assign(0)
    assert harness.restores.running - {0} == set()


async def test_a_standby_that_becomes_the_owner_reads_the_difference(harness: Harness) -> None:
    harness.log(1).add((store_key(store_in(1)) + TIMEZONE_TAG, b"UTC"))
    harness.assignment.set_standby(frozenset({1}))
    await harness.assign(0)
    await harness.until(lambda: harness.restores.databases.of(1).reached == 1)
    harness.assignment.set_standby(frozenset())
    harness.log(1).add((store_key(store_in(1)) + TIMEZONE_TAG, b"Asia/Gaza"))

    await harness.assign(0, 1)
    await harness.owned(0, 1)

    assert harness.facts._open[1].get(store_key(store_in(1)) + TIMEZONE_TAG) == b"Asia/Gaza"
    assert harness.log(1).offsets.count(0) == 1


async def test_a_partition_that_is_restored_when_it_becomes_a_standby_is_followed(
    harness: Harness,
) -> None:
    """The restore alone would end at its claim, and read none of the later records."""
    harness.log(1).add((store_key(store_in(1)) + TIMEZONE_TAG, b"UTC"))
    harness.log(1).gate.clear()
    await harness.assign(1)
    await harness.until(lambda: harness.restores.running == {1})
    harness.assignment.set_standby(frozenset({1}))

    await harness.assign(0)
    harness.log(1).gate.set()
    harness.log(1).add((store_key(store_in(1)) + TIMEZONE_TAG, b"Asia/Gaza"))

    await harness.until(lambda: harness.restores.databases.of(1).reached == harness.log(1).last)


async def test_a_standby_that_fails_is_logged_and_ends_no_worker(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    harness.log(1).add((store_key(store_in(1)) + TIMEZONE_TAG, b"UTC"))
    harness.restores.databases.of(1).failed(OSError("IO error: a broken disk"))
    harness.assignment.set_standby(frozenset({1}))

    await harness.assign(0)
    await harness.owned(0)
    await harness.until(lambda: "the standby of partition 1 ends" in caplog.text)

    assert harness.failures.errors == []


# -- positions of sources, and strange changelogs


async def test_a_changelog_with_stores_of_another_partition_ends_the_worker(
    harness: Harness,
) -> None:
    """The polls of one store would be on two partitions after the number of partitions grew."""
    harness.log(1).add((STORE + TIMEZONE_TAG, b"UTC"))

    await harness.assign(1)
    await harness.until(lambda: bool(harness.failures.errors))

    (error,) = harness.failures.errors
    assert str(error) == (
        "partition 1 holds facts of stores that belong to partition 0 with STORE_UPTIME_PARTITIONS="
        f"{PARTITIONS}: set it back to what it was when the topics were made"
    )
    assert harness.owned_partitions.owned == frozenset()


async def test_positions_are_written_from_the_first_owner_on(harness: Harness) -> None:
    """Records that are deleted before the first one is read are then reported as lost."""
    await harness.assign(0)
    await harness.owned(0)
    assert written_positions(harness) == {spec.name: 0 for spec in SOURCE_TOPICS}
    harness.group.beginning = 5

    await harness.assign(0)
    await harness.owned(0)

    assert harness.position(POLLS) == 0
    assert [r.key for b in harness.log().batches for r in b.records].count(POSITION_KEY) == 1


async def test_after_a_stray_record_between_its_own_a_partition_is_restored_from_the_log(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    await harness.assign(0)
    await harness.owned(0)
    harness.log().add((STORE + TIMEZONE_TAG, b"UTC"))

    harness.facts._open[0].put(STORE + TIMEZONE_TAG, b"Asia/Gaza")
    await settle()
    await harness.owned(0)

    assert "somebody else writes to the changelog of partition 0" in caplog.text
    assert harness.changelog.claimed == [0, 0]
    assert harness.facts._open[0].get(STORE + TIMEZONE_TAG) == b"Asia/Gaza"
    assert harness.failures.errors == []


async def test_a_restore_is_published_from_its_beginning_until_the_partition_is_owned(
    harness: Harness,
) -> None:
    harness.log().add((STORE + TIMEZONE_TAG, b"UTC"))
    harness.log().gate.clear()
    await harness.assign(0)
    await harness.until(lambda: harness.restores.status(0).to_do > 0)
    assert harness.publisher.restores == [RestoreStatus(0, 0, 0)]

    await harness.assignment._publish_restores()
    assert harness.publisher.restores[1:] == [RestoreStatus(0, 0, 2)]
    harness.log().gate.set()
    await harness.owned(0)
    await harness.assignment._publish_restores()
    assert len(harness.publisher.restores) == 2


async def test_a_seek_that_meets_a_rebalance_ends_no_worker(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread of the consumer revokes partitions before the thread of the worker knows it."""
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0)
    seek, refused = harness.consumer.seek, [IllegalStateError("No current assignment")] * 3

    async def refusing(partition: TP, offset: int) -> None:
        if refused:
            raise refused.pop()
        await seek(partition, offset)

    monkeypatch.setattr(harness.consumer, "seek", refusing)
    await harness.assign(0)
    await harness.owned(0)

    assert harness.position(POLLS) == 0
    assert harness.failures.errors == []


async def test_a_consumer_that_never_gets_the_partition_ends_the_worker(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STREAMS_SECONDS", 0.01)

    async def refusing(*_: Any) -> None:
        raise IllegalStateError("No current assignment")

    monkeypatch.setattr(harness.consumer, "seek", refusing)
    await harness.assign(0)
    while not harness.failures.errors:  # noqa: ASYNC110  a time limit passes
        await asyncio.sleep(0.005)

    assert str(harness.failures.errors[0]) == "the consumer does not have partition 0"
