"""The facts table sends a write to the changelog first, and stores it when it is acknowledged."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.errors import MessageSizeTooLargeError, ProducerFenced

from stream_app.contracts.topics import MAX_STATE_BYTES
from stream_app.domain.poll_buckets import Bucket
from stream_app.domain.polls import poll_set, to_bytes
from stream_app.errors import RevokedError, TableError
from stream_app.kafka.batch_producer import Batch, BatchMetadata
from stream_app.kafka.fenced_producer import FencedProducer
from stream_app.worker.facts.database import START, Checkpoint, FactsDatabase, checkpoint_after
from stream_app.worker.facts.keys import (
    HOURS_TAG,
    POSITION_KEY,
    TIMEZONE_TAG,
    bucket_key,
    store_key,
)
from stream_app.worker.facts.summary import PartitionSummary, summarize
from stream_app.worker.facts.table import CHANGELOG, MAX_UNACKNOWLEDGED_BYTES, FactsTable
from tests.agent_fakes import Failures, FakeBatch, FakeBatches, settings_with, settle, store_in

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from stream_app.worker.metrics import RemovalReason


class FakeBatchOfMany(FakeBatch):
    """A batch to which records can be added."""

    def __init__(self, sent: asyncio.Future[Any]) -> None:
        super().__init__(sent)
        self.count = 0

    def with_one_more(self) -> FakeBatchOfMany:
        self.count += 1
        return self


class FakeFencedProducer(FencedProducer):
    """A producer of the changelog that records the writes."""

    def __init__(self) -> None:
        self.batches = FakeBatches()
        self.sent = self.batches.sent
        self.waited_for_capacity: list[tuple[int, int]] = []

    def add(self, partition: int, key: bytes, value: bytes | None) -> Batch:
        return self.batches.add(CHANGELOG, partition, key, value)

    async def wait_for_capacity(self, partition: int, most: int) -> None:
        self.waited_for_capacity.append((partition, most))


class Harness:
    """A table with the partitions 0 and 1 open."""

    def __init__(self, folder: Path) -> None:
        self.failures = Failures()
        self.interrupted: list[tuple[int, bool]] = []
        self.removed: list[RemovalReason] = []
        self.producer = FakeFencedProducer()
        self.facts = FactsTable(settings_with(), self.failures)
        self.facts.producer = self.producer
        self.databases = [
            FactsDatabase(partition, folder / str(partition), self.removed.append)
            for partition in (0, 1)
        ]
        self.open()

    def open(self) -> None:
        self.opened = [
            self.facts.open(database, lambda *what: self.interrupted.append(what))
            for database in self.databases
        ]

    def content(self, partition: int = 0) -> dict[bytes, bytes]:
        """Return the content of the database, without writes in flight."""
        return dict(self.databases[partition].facts())

    def checkpoint(self, partition: int = 0) -> Checkpoint:
        return self.databases[partition].checkpoint

    async def acknowledge(self, position: int, offset: int) -> None:
        """Acknowledge a write at an offset; if it is the first, the database ends just before."""
        sent = self.producer.sent[position]
        assert sent.partition is not None
        if self.checkpoint(sent.partition) == START:
            self.databases[sent.partition].write((), START.at(offset))
        await self.arrive_at(position, offset)

    async def arrive_at(self, position: int, offset: int) -> None:
        self.producer.sent[position].acknowledge(offset)
        await settle()

    async def fail(self, position: int, error: Exception) -> None:
        self.producer.sent[position].future.set_exception(error)
        await settle()

    def overlay(self, partition: int = 0) -> Mapping[bytes, object]:
        return self.facts._open[partition]._overlay


class FullDisk:
    """A database on a full disk."""

    def get(self, _: bytes) -> None:
        return None

    def write(self, _: object) -> None:
        raise OSError("IO error: No space left on device")

    def close(self) -> None:
        pass


@pytest.fixture
async def harness(tmp_path: Path) -> Harness:
    return Harness(tmp_path)


async def test_a_write_is_seen_at_once_and_stored_when_it_is_acknowledged(
    harness: Harness,
) -> None:
    batch = harness.opened[0].put(b"k", b"v")

    (sent,) = harness.producer.sent
    assert (sent.topic, sent.key, sent.value, sent.partition) == (CHANGELOG, b"k", b"v", 0)
    assert harness.opened[0].get(b"k") == b"v"
    assert harness.content() == {}
    assert harness.facts.unacknowledged == 1
    assert not batch.sent.done()

    await harness.acknowledge(0, offset=12)

    assert batch.sent.done()
    assert harness.content() == {b"k": b"v"}
    assert harness.opened[0].get(b"k") == b"v"
    assert harness.overlay() == {}
    assert harness.facts.unacknowledged == 0


async def test_restored_values_are_read(harness: Harness) -> None:
    harness.databases[1].write([(b"k", b"restored")], START.at(3))

    assert harness.opened[1].get(b"k") == b"restored"
    assert harness.opened[0].get(b"k") is None


async def test_two_writes_of_a_key_are_stored_in_order_and_the_last_is_seen(
    harness: Harness,
) -> None:
    harness.opened[0].put(b"k", b"first")
    harness.opened[0].put(b"k", b"second")
    assert harness.opened[0].get(b"k") == b"second"

    await harness.acknowledge(0, offset=1)
    assert harness.opened[0].get(b"k") == b"second"
    assert harness.content() == {b"k": b"first"}
    await harness.acknowledge(1, offset=2)

    assert harness.content() == {b"k": b"second"}
    assert harness.opened[0].get(b"k") == b"second"
    assert harness.overlay() == {}


async def test_writes_that_share_a_batch_are_stored_together_with_the_last_ones_checkpoint(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = FakeBatchOfMany(asyncio.get_running_loop().create_future())
    monkeypatch.setattr(harness.producer, "add", lambda *_: shared.with_one_more())
    writes: list[int] = []
    write = harness.databases[0].write

    def counted(*written: Any) -> None:
        writes.append(1)
        write(*written)

    monkeypatch.setattr(harness.databases[0], "write", counted)
    for key, value in ((b"a", b"1"), (b"b", b"2"), (b"a", b"3")):
        assert harness.opened[0].put(key, value) is shared
    assert harness.facts.unacknowledged == 3

    shared.sent.set_result(BatchMetadata(0, 0))
    await settle()

    assert harness.content() == {b"a": b"3", b"b": b"2"}
    assert harness.checkpoint() == checkpoint_after(2, b"a", b"3")
    assert len(writes) == 1
    assert harness.overlay() == {}


async def test_a_scan_gives_what_each_read_gives_also_of_what_is_in_flight(
    harness: Harness,
) -> None:
    stored = [(key, b"stored") for key in (b"1a", b"1b", b"1c", b"3a")]
    harness.databases[0].write(stored, START.at(3))
    harness.opened[0].put(b"1a", b"in flight")
    harness.opened[0].put(b"1b", None)
    harness.opened[0].put(b"2c", b"in flight too")

    scanned = dict(harness.opened[0].scan_stores([b"1", b"2", b"3", b"4"], [b"a", b"b", b"c"]))

    assert scanned == {
        b"1": [b"in flight", None, b"stored"],
        b"2": [None, None, b"in flight too"],
        b"3": [b"stored", None, None],
        b"4": [None, None, None],
    }
    for store, values in scanned.items():
        assert values == [harness.opened[0].get(store + suffix) for suffix in (b"a", b"b", b"c")]
    assert list(harness.opened[1].scan_stores([b"1"], [b"a"])) == [(b"1", [None])]


async def test_a_scan_loses_nothing_that_is_acknowledged_while_it_lasts(harness: Harness) -> None:
    harness.databases[0].write([(b"1a", b"stored"), (b"2a", b"stored")], START.at(3))
    harness.opened[0].put(b"2a", b"in flight")
    scan = harness.opened[0].scan_stores([b"1", b"2"], [b"a"])
    assert next(scan) == (b"1", [b"stored"])

    # it leaves the overlay, and the iterator does not see it in the database
    await harness.acknowledge(0, offset=3)
    assert harness.overlay() == {}

    assert next(scan) == (b"2", [b"in flight"])


async def test_a_scan_of_a_partition_that_is_closed_or_damaged_is_an_error(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Damaged:
        def iter(self, _: object) -> None:
            raise OSError("Corruption: block checksum mismatch")

    monkeypatch.setattr(harness.databases[1], "_open", Damaged)
    with pytest.raises(TableError, match="Corruption"):
        next(harness.opened[1].scan_stores([b"1"], [b"a"]))

    harness.facts.revoke(0)
    with pytest.raises(RevokedError):
        next(harness.opened[0].scan_stores([b"1"], [b"a"]))


async def test_a_partition_reads_no_writes_in_flight_of_another_one(
    harness: Harness,
) -> None:
    harness.opened[0].put(b"k", b"v")

    assert harness.opened[1].get(b"k") is None


async def test_a_write_that_fails_is_not_stored_and_ends_the_worker(harness: Harness) -> None:
    batch = harness.opened[0].put(b"k", b"v")
    error = OSError("lost")

    await harness.fail(0, error)

    assert harness.content() == {}
    assert harness.checkpoint() == START
    assert batch.sent.exception() is error
    assert harness.failures.errors == [error]


async def test_after_a_failed_write_nothing_more_is_stored(harness: Harness) -> None:
    """The failed record may be in the changelog: the database might not be a prefix any more."""
    harness.opened[0].put(b"a", b"1")
    harness.opened[0].put(b"b", b"2")
    harness.opened[1].put(b"c", b"3")

    await harness.fail(0, OSError("no answer in time"))
    await harness.arrive_at(1, 0)
    await harness.acknowledge(2, offset=5)

    assert harness.content() == {}
    assert harness.checkpoint() == START
    assert harness.content(1) == {b"c": b"3"}


async def test_a_write_that_is_cancelled_at_the_end_is_not_stored(harness: Harness) -> None:
    harness.opened[0].put(b"k", b"v")

    harness.producer.sent[0].future.cancel()
    await settle()

    assert harness.content() == {}
    assert harness.failures.errors == []


async def test_a_write_that_cannot_be_sent_raises_and_is_not_read(
    harness: Harness,
) -> None:
    harness.producer.batches.error = MessageSizeTooLargeError()

    with pytest.raises(MessageSizeTooLargeError):
        harness.opened[0].put(b"k", b"v")

    assert harness.opened[0].get(b"k") is None, "the changelog will never have it"
    assert harness.content() == {}


async def test_a_value_that_is_too_large_for_a_changelog_record_is_rejected(
    harness: Harness,
) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        harness.opened[0].put(b"k", b"v" * MAX_STATE_BYTES)
    assert harness.opened[0].get(b"k") is None


async def test_a_full_disk_ends_the_worker_and_stores_nothing(harness: Harness) -> None:
    harness.opened[0].put(b"k", b"v")
    rocks = harness.databases[0]._open()
    assert harness.checkpoint() == START
    harness.databases[0]._rocks = FullDisk()

    await harness.arrive_at(0, 0)

    (error,) = harness.failures.errors
    assert isinstance(error, TableError)
    assert "No space left" in str(error)
    assert rocks.get(b"checkpoint") is None
    assert rocks.get(b"k") is None
    assert harness.removed == []


async def test_a_database_that_cannot_be_read_raises(harness: Harness) -> None:
    harness.databases[0].failed(OSError("IO error: a broken disk"))

    with pytest.raises(TableError, match="a broken disk"):
        harness.opened[0].get(b"k")


async def test_a_write_waits_for_capacity_of_its_own_partition(harness: Harness) -> None:
    await harness.opened[1].wait_for_capacity()

    assert harness.producer.waited_for_capacity == [(1, MAX_UNACKNOWLEDGED_BYTES)]


# -- the checkpoint


async def test_the_checkpoint_is_behind_the_last_record_that_is_stored(harness: Harness) -> None:
    for key in (b"a", b"b", b"c"):
        harness.opened[0].put(key, b"v")
    harness.opened[1].put(b"d", b"v")
    assert harness.checkpoint() == START

    await harness.acknowledge(0, offset=10)
    assert harness.checkpoint() == checkpoint_after(10, b"a", b"v")
    await harness.acknowledge(1, offset=11)
    assert harness.checkpoint() == checkpoint_after(11, b"b", b"v")
    assert harness.checkpoint(1) == START
    await harness.acknowledge(3, offset=4)

    assert harness.checkpoint().next_offset == 12
    assert harness.checkpoint(1).next_offset == 5


# -- revoking


async def test_a_revoked_partition_is_neither_read_nor_written(harness: Harness) -> None:
    harness.facts.revoke(0)
    harness.facts.revoke(0)

    with pytest.raises(RevokedError, match="partition 0 is not open"):
        harness.opened[0].get(b"k")
    with pytest.raises(RevokedError, match="partition 0 is not open"):
        harness.opened[0].put(b"k", b"v")
    assert harness.producer.sent == []
    assert harness.opened[1].get(b"k") is None


async def test_a_write_acknowledged_after_revoking_is_left_to_the_next_owner(
    harness: Harness,
) -> None:
    harness.opened[0].put(b"a", b"v")
    harness.opened[0].put(b"b", b"v")
    await harness.acknowledge(0, offset=10)

    harness.facts.revoke(0)
    await harness.acknowledge(1, offset=11)

    assert harness.content() == {b"a": b"v"}
    assert harness.checkpoint().next_offset == 11
    assert harness.facts.unacknowledged == 0


async def test_a_write_in_flight_from_before_a_claim_is_not_read_after_it(
    harness: Harness,
) -> None:
    """A restore may have read a newer value meanwhile."""
    harness.opened[0].put(b"k", b"mine")
    harness.facts.revoke(0)
    harness.databases[0].write([(b"k", b"restored")], START.at(20))

    harness.open()
    assert harness.opened[0].get(b"k") == b"restored"
    await harness.acknowledge(0, offset=10)

    assert harness.opened[0].get(b"k") == b"restored"
    assert harness.content() == {b"k": b"restored"}
    assert harness.checkpoint().next_offset == 20


async def test_a_fenced_write_interrupts_the_partition_and_is_neither_stored_nor_an_error(
    harness: Harness,
) -> None:
    harness.opened[0].put(b"k", b"v")

    await harness.fail(0, ProducerFenced())

    assert harness.interrupted == [(0, True)]
    assert harness.failures.errors == []
    assert harness.content() == {}
    assert harness.checkpoint() == START


async def test_a_fenced_write_of_a_revoked_partition_changes_nothing(harness: Harness) -> None:
    harness.opened[0].put(b"a", b"v")
    harness.opened[0].put(b"b", b"v")
    harness.facts.revoke(0)

    await harness.fail(0, ProducerFenced())
    await harness.fail(1, OSError("closed"))

    assert harness.interrupted == []
    assert harness.failures.errors == []


# -- the summary of a partition

ONE, TWO = store_key(store_in(0)), store_key(store_in(0, 1))


async def test_the_summary_of_a_partition_is_read_from_its_database(harness: Harness) -> None:
    cold, hot = Bucket(cold=True, slot=70), Bucket(cold=False, slot=1)
    entries = {
        bucket_key(ONE, cold): to_bytes(poll_set([(5, True), (80, False)])),
        bucket_key(ONE, hot): to_bytes(poll_set([(9, True), (80, True)])),
        TWO + TIMEZONE_TAG: b"UTC",
        POSITION_KEY: b"{}",
    }
    harness.databases[0].write(entries.items(), START.at(4))
    harness.databases[1].write([(ONE + HOURS_TAG, b"[]")], START.at(1))

    assert await summarize(harness.databases[0]) == PartitionSummary(
        stores={ONE, TWO},
        newest_poll=80,
        bucket_kinds={Bucket(cold=True, slot=64), hot},
        newest_polls={ONE: 80 << 1},  # at one instant `inactive` wins
    )
    assert await summarize(harness.databases[1]) == PartitionSummary(stores={ONE})


async def test_other_tasks_run_while_a_summary_is_made(harness: Harness) -> None:
    stores = (number.to_bytes(16) + TIMEZONE_TAG for number in range(10_000))
    harness.databases[0].write(((key, b"UTC") for key in stores), START.at(1))
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    await summarize(harness.databases[0])
    task.cancel()

    assert turns >= 5


@pytest.mark.parametrize("offset", [13, 11, -1])
async def test_a_write_that_does_not_follow_the_database_in_the_changelog_is_not_stored(
    harness: Harness, offset: int
) -> None:
    """Another program's record is between the two, or the broker does not say the offset."""
    harness.opened[0].put(b"a", b"1")
    await harness.acknowledge(0, offset=11)
    harness.opened[0].put(b"b", b"2")
    harness.opened[0].put(b"c", b"3")

    await harness.arrive_at(1, offset)
    await harness.arrive_at(2, 12)

    assert harness.interrupted == [(0, False)]
    assert harness.content() == {b"a": b"1"}
    assert harness.checkpoint().next_offset == 12
    assert harness.failures.errors == []


async def test_a_deleted_key_is_gone_at_once_and_from_the_database_when_acknowledged(
    harness: Harness,
) -> None:
    harness.opened[0].put(b"k", b"v")
    await harness.acknowledge(0, 0)
    harness.opened[0].put(b"k", None)
    assert harness.producer.sent[1].value is None
    assert harness.opened[0].get(b"k") is None
    assert harness.facts.unacknowledged_bytes == 0
    assert harness.content() == {b"k": b"v"}
    # the key is written and deleted again before either write is acknowledged
    harness.opened[0].put(b"k", b"w")
    harness.opened[0].put(b"k", None)
    await harness.acknowledge(1, 1)
    assert (harness.opened[0].get(b"k"), harness.content()) == (None, {})
    await harness.acknowledge(2, 2)
    assert (harness.opened[0].get(b"k"), harness.content()) == (None, {b"k": b"w"})
    await harness.acknowledge(3, 3)
    assert (harness.opened[0].get(b"k"), harness.content(), harness.overlay()) == (None, {}, {})
    assert harness.checkpoint() == checkpoint_after(3, b"k", None)
