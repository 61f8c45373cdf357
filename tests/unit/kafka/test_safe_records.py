"""aiokafka's consumers return an `UnreadableRecords` for each batch that cannot be read."""

from __future__ import annotations

import asyncio
import logging
import struct
from dataclasses import fields
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.consumer.fetcher import READ_COMMITTED, READ_UNCOMMITTED, Fetcher
from aiokafka.record.memory_records import MemoryRecords

from stream_app.kafka import record_batches, safe_records
from stream_app.kafka.clients import safe_consumer
from stream_app.kafka.safe_records import (
    FetchedBatches,
    SafePartitionRecords,
    UnreadableRecords,
    last_offset,
    readable,
    source_of,
)
from tests.fakes import SETTINGS
from tests.kafka_batches import NAMES, batch_of, flipped, sealed, with_codec, with_last_delta

PLACE = TopicPartition("stores", 3)
CONTROL, TRANSACTIONAL = 0x20, 0x10
ABORT, COMMIT = 0, 1
CHECKSUM = "the checksum of the batch is wrong"

THEIRS: Any = SafePartitionRecords.__base__
"""aiokafka's own class, which `install` may have replaced in its module already."""


def fetched(
    data: bytes,
    start: int = 0,
    *,
    isolation: int = READ_UNCOMMITTED,
    aborted: list[tuple[int, int]] | None = None,
    reader: Any = None,
    read: Any = FetchedBatches,
) -> Any:
    return (reader or SafePartitionRecords)(
        PLACE, read(data), aborted, start, None, None, True, isolation
    )


def values(records: Any) -> list[Any]:
    """Return the value of each record, and the offsets of each range that cannot be read."""
    return [
        (record.first_offset, record.last_offset)
        if isinstance(record, UnreadableRecords)
        else record.value
        for record in records
    ]


def marker(kind: int, base: int, producer: int) -> bytes:
    """Return a record of the transaction coordinator, whose key says how the transaction ended."""
    # attributes, time, offset, length of the key, key, length of the value, headers
    record = bytes(3) + b"\x08" + struct.pack(">hh", 0, kind) + bytes(2)
    return batch_of(
        [b""],
        base=base,
        attributes=CONTROL | TRANSACTIONAL,
        producer_id=producer,
        damage=lambda _: bytes([2 * len(record)]) + record,
    )


@pytest.mark.parametrize("codec", NAMES)
async def test_the_records_of_every_codec_are_those_that_aiokafka_reads(codec: str) -> None:
    data = batch_of([b"a", None, b"c"], codec, base=5) + batch_of([b"d"], codec, base=8)
    ours = fetched(data, 6)
    theirs = fetched(data, 6, reader=THEIRS, read=MemoryRecords)
    for our_record, their_record in zip(ours, theirs, strict=True):
        for field in fields(their_record):
            value = getattr(our_record, field.name)
            value = tuple(value) if field.name == "headers" else value
            assert value == getattr(their_record, field.name), field.name
    assert ours.next_fetch_offset == theirs.next_fetch_offset == 9


async def test_a_batch_that_cannot_be_read_is_one_range_and_is_stepped_over() -> None:
    data = batch_of([b"a"]) + flipped(batch_of([b"b"] * 3, base=1)) + batch_of([b"c"], base=4)
    records = fetched(data)
    assert values(records) == [b"a", (1, 3), b"c"]
    assert records.next_fetch_offset == 5


async def test_an_unreadable_range_has_its_offsets_and_the_reason() -> None:
    (range_,) = fetched(with_codec(batch_of([b"a"] * 2, base=7), 6), 7)
    assert range_ == UnreadableRecords("stores", 3, 7, 7, 8, 1_001, "unknown codec 6")
    assert str(range_) == "stores/3: offsets 7 to 8 cannot be read: unknown codec 6"
    assert (range_.key, range_.value) == (None, None)
    assert source_of(range_) == {"topic": "stores", "partition": 3, "offset": 7, "last_offset": 8}
    assert last_offset(range_) == 8


async def test_a_reader_that_begins_in_the_middle_names_the_same_range() -> None:
    """The dead letter of a range has the same key, no matter which process writes it and when."""
    (whole,) = fetched(flipped(batch_of([b"a"] * 5, base=10)), 10)
    (rest,) = fetched(flipped(batch_of([b"a"] * 5, base=10)), 13)
    assert source_of(rest) == source_of(whole)
    assert (rest.offset, rest.last_offset) == (13, 14)


async def test_a_range_before_the_position_is_not_returned_again() -> None:
    assert values(fetched(flipped(batch_of([b"a"] * 5, base=10)), 15)) == []


async def test_the_records_before_the_damage_of_a_batch_are_read() -> None:
    data = batch_of([b"a", b"b", b"c"], "lz4", damage=lambda plain: plain[:-2])
    records = fetched(data + batch_of([b"d"], base=3))
    assert values(records) == [b"a", b"b", (2, 2), b"d"]
    assert values(fetched(data, 1)) == [b"b", (2, 2)]


async def test_a_batch_of_many_records_is_read_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_batches, "CHUNK_RECORDS", 2)
    assert values(fetched(batch_of([b"%d" % n for n in range(5)], "zstd"), 1)) == [
        b"1",
        b"2",
        b"3",
        b"4",
    ]


async def test_the_position_goes_on_with_every_record() -> None:
    records = fetched(batch_of([b"a"] * 3) + flipped(batch_of([b"b"] * 4, base=3)))
    assert [records.next_fetch_offset for _ in records] == [1, 2, 3, 7]


async def test_a_batch_that_compaction_emptied_moves_the_position_on() -> None:
    records = fetched(sealed(with_last_delta(batch_of([]), 9), 0))
    assert values(records) == []
    assert records.next_fetch_offset == 10


@pytest.mark.parametrize("isolation", [READ_COMMITTED, READ_UNCOMMITTED])
async def test_aborted_transactions_are_left_out_where_committed_records_are_asked_for(
    isolation: int,
) -> None:
    def of(producer: int, value: bytes, base: int) -> bytes:
        return batch_of([value], "gzip", base=base, attributes=TRANSACTIONAL, producer_id=producer)

    data = (
        of(7, b"aborted", 0)
        + of(8, b"kept", 1)
        + marker(ABORT, 2, 7)
        + of(7, b"later", 3)
        + marker(COMMIT, 4, 7)
        + marker(COMMIT, 5, 8)
        + flipped(of(7, b"damaged", 6))
    )
    aborted = [(7, 0)]
    ours = fetched(data, isolation=isolation, aborted=aborted)
    expected = (
        [b"kept", b"later"] if isolation == READ_COMMITTED else [b"aborted", b"kept", b"later"]
    )
    assert values(ours) == [*expected, (6, 6)]
    theirs = fetched(
        data[: -len(of(7, b"damaged", 6))],
        isolation=isolation,
        aborted=aborted,
        reader=THEIRS,
        read=MemoryRecords,
    )
    assert values(theirs) == expected


async def test_readable_leaves_out_unreadable_ranges_and_logs_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    records = fetched(flipped(batch_of([b"a"])) + batch_of([b"b"], base=1))
    with caplog.at_level(logging.ERROR):
        assert values(readable(records)) == [b"b"]
    assert caplog.messages == [f"stores/3: offsets 0 to 0 cannot be read: {CHECKSUM}"]


async def test_an_incomplete_batch_is_not_read_yet() -> None:
    batch = batch_of([b"a"])
    assert FetchedBatches(batch).has_next()
    for data in (b"", None, batch[:5], batch[:-1], struct.pack(">qi", 0, -1) + bytes(90)):
        assert not FetchedBatches(data).has_next()
    assert FetchedBatches(batch[:5]).size_in_bytes() == 5


async def test_aiokafka_reads_with_the_replaced_classes() -> None:
    """aiokafka looks up both names in its module with each answer to a fetch."""
    consumer = safe_consumer(SETTINGS)
    assert (fetcher.MemoryRecords, fetcher.PartitionRecords) == (
        FetchedBatches,
        SafePartitionRecords,
    )
    answered = Fetcher._proc_fetch_request
    assert answered.__globals__ is vars(fetcher)
    assert {"MemoryRecords", "PartitionRecords"} <= set(answered.__code__.co_names)
    assert vars(safe_records)["fetcher"] is fetcher
    await consumer.stop()


async def test_no_more_is_unpacked_at_once_than_one_batch_may_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(safe_records, "MAX_UNPACKED_BYTES", 10_000)
    large = [batch_of([b"x" * 6_000], "zstd", base=number) for number in range(3)]
    first, second = fetched(b"".join(large)), fetched(large[0])
    assert len(values(first)) == 2
    assert (first.next_fetch_offset, second.next_fetch_offset) == (2, 0)
    assert values(second) == [], "another partition must wait, and is fetched again"

    await asyncio.sleep(0)
    assert len(values(fetched(large[2], first.next_fetch_offset))) == 1
    assert len(values(fetched(large[0]))) == 1


async def test_a_batch_that_unpacks_to_too_much_counts_as_the_largest_allowed_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(record_batches, "MAX_UNPACKED_BYTES", 5_000)
    monkeypatch.setattr(safe_records, "MAX_UNPACKED_BYTES", 5_000)
    bombs = [batch_of([b"x" * 6_000], "gzip", base=number) for number in range(3)]
    at = 0
    for number in range(3):
        records = fetched(b"".join(bombs[at:]), at)
        assert values(records) == [(number, number)]
        at = records.next_fetch_offset
        await asyncio.sleep(0)


async def test_uncompressed_batches_are_read_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safe_records, "MAX_UNPACKED_BYTES", 1)
    data = b"".join(batch_of([b"x"], base=number) for number in range(9))
    assert len(values(fetched(data))) == 9
