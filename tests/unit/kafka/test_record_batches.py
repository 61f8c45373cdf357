"""The reader of batches reads all codecs, and steps over every damaged batch."""

from __future__ import annotations

import gzip
import itertools
import random
import struct
from functools import partial
from typing import TYPE_CHECKING, Any

import cramjam
import pytest

from stream_app.kafka import record_batches
from stream_app.kafka.record_batches import MAX_UNPACKED_BYTES, ReadBatch, read_batches
from tests.kafka_batches import (
    HEADER_BYTES,
    NAMES,
    PACK,
    batch_of,
    flipped,
    raw_snappy,
    sealed,
    with_codec,
    with_last_delta,
)

if TYPE_CHECKING:
    from collections.abc import Callable

PACKED = NAMES[1:]
VALUES = [b"one", None, b"three " * 1_000]


def ranges(data: bytes) -> list[tuple[int, int, int, str | None]]:
    """Return the first offset, next offset, number of records and error of each range."""
    return [
        (batch.base_offset, batch.next_offset, len(batch.records), batch.error)
        for batch in read_batches(data)
    ]


def only(data: bytes) -> ReadBatch:
    (batch,) = read_batches(data)
    return batch


def resident_peak_of(action: Callable[[], object]) -> int:
    """Return the bytes by which the resident memory grows at most during the action."""
    with open("/proc/self/clear_refs", "w") as file:  # noqa: PTH123  the kernel's
        file.write("5")
    before = _status("VmRSS")
    action()
    return _status("VmHWM") - before


def _status(name: str) -> int:
    with open("/proc/self/status") as file:  # noqa: PTH123  the kernel's
        lines = dict(line.split(":", 1) for line in file)
    return int(lines[name].split()[0]) << 10


@pytest.mark.parametrize("codec", NAMES)
def test_records_of_every_codec_are_read(codec: str) -> None:
    batch = only(batch_of(VALUES, codec, base=70))
    assert (batch.base_offset, batch.next_offset, batch.error) == (70, 73, None)
    records: list[Any] = [
        (record.offset, record.key, record.value, record.timestamp, record.headers)
        for record in batch.records
    ]
    assert records == [
        (70 + number, b"k%d" % number, value, 1_000 + number, [])
        for number, value in enumerate(VALUES)
    ]


def test_snappy_without_the_frame_of_java_is_read() -> None:
    batch = only(batch_of(VALUES, "snappy", pack=raw_snappy))
    assert [record.value for record in batch.records] == VALUES


def test_gzip_in_several_members_is_read_and_trailing_zeros_are_left_out() -> None:
    def members(data: bytes) -> bytes:
        return gzip.compress(data[:100]) + gzip.compress(data[100:]) + bytes(20)

    batch = only(batch_of(VALUES, "gzip", pack=members))
    assert [record.value for record in batch.records] == VALUES


@pytest.mark.parametrize("codec", NAMES)
def test_a_batch_that_compaction_emptied_is_a_range_without_records(codec: str) -> None:
    emptied = batch_of([], codec, base=5)
    assert ranges(with_kept_offsets(emptied, 9)) == [(5, 15, 0, None)]


def with_kept_offsets(batch: bytes, last_delta: int) -> bytes:
    return sealed(with_last_delta(batch, last_delta), struct.unpack_from(">q", batch)[0])


def test_several_batches_come_in_order_and_an_incomplete_last_one_is_left_out() -> None:
    batches = [batch_of([b"a"] * 2, codec, base=2 * n) for n, codec in enumerate(NAMES)]
    data = b"".join(batches)
    whole = [(2 * n, 2 * n + 2, 2, None) for n in range(len(NAMES))]
    assert ranges(data) == whole
    for size in (len(data) - 1, len(data) - len(batches[-1]) + 5):
        assert ranges(data[:size]) == whole[:-1]
    assert ranges(b"") == []


def test_a_control_batch_is_a_range_without_records() -> None:
    marker = batch_of([b"\0\0\0\0\0\0"], base=4, attributes=0x30, producer_id=7)
    assert ranges(marker + batch_of([b"a"], base=5)) == [(4, 5, 0, None), (5, 6, 1, None)]


@pytest.mark.parametrize("codec", NAMES)
def test_a_batch_with_a_wrong_checksum_is_stepped_over(codec: str) -> None:
    good = batch_of([b"a"], base=3)
    assert ranges(flipped(batch_of(VALUES, codec)) + good) == [
        (0, 3, 0, "the checksum of the batch is wrong"),
        (3, 4, 1, None),
    ]


@pytest.mark.parametrize("delta", [2**31 - 1, -(2**31), -1])
def test_a_damaged_number_of_offsets_does_not_hide_the_batches_behind_it(delta: int) -> None:
    damaged = with_last_delta(batch_of(VALUES), delta)
    first, second = ranges(damaged + batch_of([b"a"], base=3))
    assert first[0] == 0
    assert 0 < first[1] <= 3
    assert second == (3, 4, 1, None)


@pytest.mark.parametrize("number", [5, 6, 7])
def test_an_unknown_codec_is_the_error_of_its_batch(number: int) -> None:
    data = with_codec(batch_of(VALUES), number) + batch_of([b"a"], base=3)
    assert ranges(data) == [(0, 3, 0, f"unknown codec {number}"), (3, 4, 1, None)]


@pytest.mark.parametrize("codec", PACKED)
@pytest.mark.parametrize(
    "pack",
    [
        lambda _: b"",
        lambda _: b"rubbish " * 50,
        lambda _: b"\0",
        lambda _: bytes(random.Random(7).randbytes(500)),
    ],
    ids=["nothing", "text", "a zero", "noise"],
)
def test_a_batch_that_cannot_be_unpacked_has_an_error(
    codec: str, pack: Callable[[bytes], bytes]
) -> None:
    batch = only(batch_of(VALUES, codec, base=9, pack=pack))
    assert (batch.base_offset, batch.next_offset, batch.records) == (9, 12, [])
    # for snappy a zero is an empty block
    errors = (f"cannot be unpacked as {codec}: ", "unpacks to more than", "damaged records: ")
    assert str(batch.error).startswith(errors)


@pytest.mark.parametrize("codec", PACKED)
def test_a_batch_whose_packed_bytes_are_cut_off_has_an_error(codec: str) -> None:
    values = [random.Random(3).randbytes(3_000)]

    def cut_off(size: int, data: bytes) -> bytes:
        return PACK[codec](data)[:size]

    for size in (1, 20, 1_000, -9):
        batch = only(batch_of(values, codec, pack=partial(cut_off, size)))
        assert batch.records == []
        assert batch.error is not None


@pytest.mark.parametrize("codec", PACKED)
def test_the_records_before_a_damaged_one_are_read(codec: str) -> None:
    first, rest = ranges(batch_of(VALUES, codec, base=20, damage=lambda data: data[:-10]))
    assert first == (20, 22, 2, None)
    assert rest[:3] == (22, 23, 0)
    assert str(rest[3]).startswith("damaged records: ")


@pytest.mark.parametrize("codec", PACKED)
def test_records_of_random_bytes_have_an_error(codec: str) -> None:
    batch = only(batch_of(VALUES, codec, damage=lambda _: b"\xff" * 3_000))
    assert (batch.next_offset, batch.records) == (3, [])
    assert str(batch.error).startswith("damaged records: ")


@pytest.mark.parametrize("count", [2, 0, -1])
def test_too_small_a_number_of_records_is_an_error(count: int) -> None:
    *_, last = ranges(batch_of(VALUES, count=count))
    assert last[1] == 3
    assert str(last[3]).startswith("damaged records: ")


@pytest.mark.parametrize("count", [4, 2**31 - 1])
def test_too_large_a_number_of_records_loses_none_of_those_that_are_there(count: int) -> None:
    assert ranges(batch_of(VALUES, count=count)) == [(0, 3, 3, None)]


def test_a_record_whose_offset_is_not_of_its_batch_is_left_out() -> None:
    three = batch_of(VALUES, base=6)
    assert [offsets[:3] for offsets in ranges(with_kept_offsets(three, 1))] == [(6, 8, 2)]


def test_records_whose_offsets_do_not_rise_have_an_error() -> None:
    # one byte each: length, attributes, time, offset, key, value, headers
    twice = bytes.fromhex("0c0000000101000c000000010100")
    first, rest = ranges(batch_of([None] * 2, base=6, damage=lambda _: twice))
    assert first == (6, 7, 1, None)
    assert rest == (7, 8, 0, "damaged records: a record has the offset 6")


@pytest.mark.parametrize("codec", PACKED)
def test_a_batch_is_unpacked_up_to_the_bound_and_no_further(codec: str) -> None:
    """A batch far above the bound takes no more memory than one just below it."""
    packed = PACK[codec](bytes(3 * MAX_UNPACKED_BYTES))
    data = batch_of(VALUES, codec, pack=lambda _: packed) + batch_of([b"a"], base=3)
    assert resident_peak_of(lambda: ranges(data)) < MAX_UNPACKED_BYTES + (16 << 20)
    assert ranges(data) == [(0, 3, 0, "unpacks to more than 64 MB"), (3, 4, 1, None)]


@pytest.mark.parametrize("codec", PACKED)
def test_a_batch_of_exactly_the_bound_is_read(codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    size = len(batch_of(VALUES)) - HEADER_BYTES
    monkeypatch.setattr(record_batches, "MAX_UNPACKED_BYTES", size)
    assert ranges(batch_of(VALUES, codec)) == [(0, 3, 3, None)]
    monkeypatch.setattr(record_batches, "MAX_UNPACKED_BYTES", size - 1)
    assert ranges(batch_of(VALUES, codec)) == [(0, 3, 0, "unpacks to more than 0 MB")]


def test_many_small_blocks_of_snappy_do_not_pass_the_bound() -> None:
    block = raw_snappy(bytes(1 << 20))
    frame = b"\x82SNAPPY\0" + struct.pack(">ii", 1, 1)
    packed = frame + (struct.pack(">i", len(block)) + block) * 65
    data = batch_of(VALUES, "snappy", pack=lambda _: packed)
    assert ranges(data) == [(0, 3, 0, "unpacks to more than 64 MB")]


@pytest.mark.parametrize("length", [-1, -(2**31), 2**31 - 1, 100])
def test_a_missing_block_of_snappy_is_an_error(length: int) -> None:
    frame = b"\x82SNAPPY\0" + struct.pack(">ii", 1, 1)
    batch = only(batch_of(VALUES, "snappy", pack=lambda _: frame + struct.pack(">i", length)))
    assert str(batch.error).startswith("cannot be unpacked as snappy: a block of ")


def test_many_frames_of_zstd_do_not_pass_the_bound() -> None:
    packed = bytes(cramjam.zstd.compress(bytes(1 << 20))) * 65
    data = batch_of(VALUES, "zstd", pack=lambda _: packed)
    assert ranges(data) == [(0, 3, 0, "unpacks to more than 64 MB")]


def test_a_batch_of_very_many_records_comes_in_several_ranges(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(record_batches, "CHUNK_RECORDS", 2)
    assert ranges(batch_of([b"a"] * 5, "lz4", base=10)) == [
        (10, 12, 2, None),
        (12, 14, 2, None),
        (14, 15, 1, None),
    ]
    assert ranges(batch_of([b"a"] * 4, base=10)) == [(10, 12, 2, None), (12, 14, 2, None)]
    cut = batch_of([b"a"] * 5, "zstd", base=10, damage=lambda data: data[:-1])
    *good, bad = ranges(cut)
    assert good == [(10, 12, 2, None), (12, 14, 2, None)]
    assert bad[:3] == (14, 15, 0)


@pytest.mark.parametrize("magic", [0, 1, 3, 127])
def test_a_batch_in_another_format_is_stepped_over(magic: int) -> None:
    other = bytearray(batch_of(VALUES))
    other[16] = magic
    first, second = ranges(bytes(other) + batch_of([b"a"], base=3))
    assert first[:3] == (0, 1, 0)
    assert f"in format {magic}" in str(first[3])
    assert second == (3, 4, 1, None)


def test_a_batch_that_is_too_short_for_a_header_is_stepped_over() -> None:
    for length in (0, 1, 10, 48):
        short = struct.pack(">qi", 7, length) + b"\2" * length
        first, second = ranges(short + batch_of([b"a"], base=8))
        assert first[:3] == (7, 8, 0)
        assert second == (8, 9, 1, None)


@pytest.mark.parametrize("codec", NAMES)
def test_no_changed_byte_stops_the_reader(codec: str) -> None:
    """The checksum is made right again in most cases, as a faulty client may write it."""
    chance = random.Random(codec)
    good = batch_of([chance.randbytes(40) for _ in range(5)], codec)
    behind = batch_of([b"a"], base=5)
    for _ in range(3_000):
        changed = bytearray(good)
        for _ in range(chance.randint(1, 4)):
            changed[chance.randrange(21, len(changed))] = chance.randrange(256)
        data = changed if chance.random() < 0.1 else sealed(changed, 0)
        read = ranges(bytes(data) + behind)
        assert read[-1] == (5, 6, 1, None)
        assert all(one[1] <= following[0] for one, following in itertools.pairwise(read))


def test_any_bytes_at_all_are_read_without_an_error() -> None:
    chance = random.Random(12)
    for _ in range(3_000):
        ranges(chance.randbytes(chance.randrange(300)))
