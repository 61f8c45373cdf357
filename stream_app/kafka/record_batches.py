"""Record batches as the broker stores them, read so that no batch can hurt its reader.

Any client may write a batch that nobody can read: one that is damaged, one in an unknown codec, or
one that unpacks to gigabytes. Here such a batch is a range of offsets with a reason, never an
exception, and it is unpacked up to a bound that is measured while it is unpacked.
"""

from __future__ import annotations

import mmap
import struct
import zlib
from dataclasses import dataclass, field
from itertools import chain, islice, pairwise
from operator import lt
from typing import TYPE_CHECKING, Any, Final

import cramjam
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_UNPACKED_BYTES: Final = 64 << 20
"""Most bytes that a batch may unpack to; a larger one is not read."""

CHUNK_RECORDS: Final = 10_000
"""Records of a batch that are handed out at once: a small batch may hold millions of empty ones."""

_HEADER: Final = struct.Struct(">qiibIhiqqqhii")
_LENGTH: Final = struct.Struct(">qi")
_ATTRIBUTES: Final = struct.Struct(">h")
_ATTRIBUTES_AT: Final = 21
_MAGIC_AT: Final = 16
_MAGIC: Final = 2
_CODEC_BITS: Final = 0x07
_TRANSACTIONAL_BIT: Final = 0x10
_CONTROL_BIT: Final = 0x20

_GZIP_BITS: Final = 31
_GZIP_MAGIC: Final = b"\x1f\x8b"
_GZIP_STEP: Final = 1 << 20
_XERIAL_MAGIC: Final = b"\x82SNAPPY\x00"
_XERIAL_HEADER_BYTES: Final = 16
_XERIAL_LENGTH: Final = struct.Struct(">i")


class UnreadableBatchError(Exception):
    """A batch, or the rest of one, cannot be read; the message says why."""


@dataclass(frozen=True, slots=True)
class ReadBatch:
    """A range of offsets, with all records in it or with the reason why they cannot be read.

    Attributes:
        base_offset: the first offset of the range.
        next_offset: the offset behind the range.
        records: each has offset, timestamp (ms), timestamp_type, key, value and headers.
        error: why the range cannot be read; None if it can.
    """

    base_offset: int
    next_offset: int
    records: list[Any] = field(default_factory=list)
    error: str | None = None


def read_batches(data: bytes) -> Iterator[ReadBatch]:
    """Yield the batches of a fetched partition, of any writer and with any content.

    The ranges rise and none overlaps another. A batch of more than `CHUNK_RECORDS` records comes as
    several ranges; of one that is damaged in the middle, the records in front of the damage are a
    range and the rest is another one, with an error. A control batch is a range without records.
    Batches of aborted transactions are handed out like others. An incomplete batch at the end of
    the data is left out, since the next fetch has all of it.

    Args:
        data: the records field of one partition in a fetch response.

    Raises:
        Nothing: what cannot be read is a range with an `error`.
    """
    for batch in raw_batches(data):
        if batch.error is None and batch.is_control:
            yield ReadBatch(batch.base_offset, batch.next_offset)
            continue
        first = batch.base_offset
        pending: list[Any] = []
        reason = None
        try:
            for chunk in batch.chunks():
                if pending:
                    end = pending[-1].offset + 1
                    yield ReadBatch(first, end, pending)
                    first = end
                pending = chunk
        except UnreadableBatchError as error:
            reason = str(error)
        # not in the handler: what was unpacked lives as long as the error that is handled
        if reason is None:
            yield ReadBatch(first, batch.next_offset, pending)
            continue
        if pending:
            end = pending[-1].offset + 1
            yield ReadBatch(first, end, pending)
            first = end
        # what stands behind the last offset of a batch has no place in the log
        if first < batch.next_offset:
            yield ReadBatch(first, batch.next_offset, error=reason)


@dataclass(frozen=True, slots=True)
class RawBatch:
    """One batch, of which the header is read and nothing is unpacked.

    Attributes:
        base_offset: the offset of its first record, as the broker numbered it.
        next_offset: the offset behind its last record, also where compaction removed that one.
        max_timestamp: the time of its newest record, in ms.
        producer_id: the id of its producer; -1 if the producer has none.
        attributes: codec, kind of timestamp, transactional, control.
        data: all bytes of it.
        error: why it cannot be read, as far as the header tells.
    """

    base_offset: int
    next_offset: int
    max_timestamp: int
    producer_id: int
    attributes: int
    data: memoryview
    error: str | None = None

    @property
    def is_control(self) -> bool:
        """Return True if it holds a marker of the transaction coordinator instead of records."""
        return bool(self.attributes & _CONTROL_BIT)

    @property
    def is_transactional(self) -> bool:
        """Return True if it was written in a transaction."""
        return bool(self.attributes & _TRANSACTIONAL_BIT)

    def chunks(self, unpacked: Callable[[int], None] = lambda _: None) -> Iterator[list[Any]]:
        """Yield the records, up to `CHUNK_RECORDS` at a time, with offsets that rise.

        Args:
            unpacked: called with the number of unpacked bytes; with the bound if there are more.

        Raises:
            UnreadableBatchError: the rest cannot be read.
        """
        if self.error is not None:
            raise UnreadableBatchError(self.error)
        # aiokafka's own iterator is begun once: this one goes on where it stands
        batch = chain(DefaultRecordBatch(_plain(self, unpacked)))
        previous = self.base_offset - 1
        damage = None
        while damage is None:
            records: list[Any] = []
            try:
                # the records before a damaged one stay in the list
                records.extend(islice(batch, CHUNK_RECORDS))
            except (CorruptRecordException, ValueError, IndexError, OverflowError) as error:
                # aiokafka's own text begins with a number and the name of the class
                of_kafka = isinstance(error, CorruptRecordException) and error.args
                damage = f"damaged records: {error.args[0] if of_kafka else error}"
            in_order = self._count_in_order(records, previous)
            if in_order < len(records):
                damage = f"damaged records: a record has the offset {records[in_order].offset}"
                del records[in_order:]
            if records:
                yield records
                previous = records[-1].offset
            elif damage is None:
                return
        raise UnreadableBatchError(damage)

    def _count_in_order(self, records: list[Any], previous: int) -> int:
        """Return how many records have offsets that rise within the batch, from the first on."""
        # a broker does not look at the offsets in a batch that is not compressed
        offsets = [previous, *[record.offset for record in records], self.next_offset]
        if all(map(lt, offsets, offsets[1:])):
            # always, but for damage: without a step of Python for each record
            return len(records)
        for count, (offset, following) in enumerate(pairwise(offsets)):
            if not offset < following < self.next_offset:
                return count
        return len(records)


def has_batch(data: bytes) -> bool:
    """Return True if the data begins with a complete batch."""
    return len(data) >= _LENGTH.size and 0 <= _LENGTH.unpack_from(data)[1] <= len(data) - (
        _LENGTH.size
    )


def raw_batches(data: bytes) -> Iterator[RawBatch]:
    """Yield the complete batches in the fetched data of a partition; see `read_batches`."""
    view = memoryview(data)
    at = 0
    while at + _LENGTH.size <= len(view):
        base, length = _LENGTH.unpack_from(view, at)
        end = at + _LENGTH.size + length
        if length < 0 or end > len(view):
            return
        yield _raw_batch(base, view[at:end], view[end:])
        at = end


def _raw_batch(base: int, data: memoryview, following: memoryview) -> RawBatch:
    if len(data) <= _MAGIC_AT or data[_MAGIC_AT] != _MAGIC or len(data) < _HEADER.size:
        # the number of a message in an older format is the one of its last record
        magic = f"format {data[_MAGIC_AT]}" if len(data) > _MAGIC_AT else "no format"
        reason = f"a batch of {len(data)} bytes in {magic}; format {_MAGIC} is read"
        return RawBatch(base, base + 1, -1, -1, 0, data, reason)
    fields = _HEADER.unpack_from(data)
    _, _, _, _, _, attributes, last_delta, _, max_timestamp, producer_id, _, _, _ = fields
    end = base + max(last_delta, 0) + 1
    if len(following) >= _LENGTH.size:
        # how many offsets it has may be what is damaged: no batch hides the one behind it
        behind, _ = _LENGTH.unpack_from(following)
        end = behind if base < behind < end else end
    crc = DefaultRecordBatch(data).validate_crc()
    error = None if crc else "the checksum of the batch is wrong"
    return RawBatch(base, end, max_timestamp, producer_id, attributes, data, error)


def _plain(batch: RawBatch, unpacked: Callable[[int], None]) -> memoryview:
    """Return the batch as if its producer had not compressed it.

    Raises:
        UnreadableBatchError: the codec is unknown, or the records do not unpack to less than
            `MAX_UNPACKED_BYTES`.
    """
    codec = batch.attributes & _CODEC_BITS
    if not codec:
        return batch.data
    if codec not in _UNPACK:
        raise UnreadableBatchError(f"unknown codec {codec}")
    name, unpack = _UNPACK[codec]
    # pages that nothing is written to cost no memory, so it may be as large as the bound
    plain = memoryview(mmap.mmap(-1, _HEADER.size + MAX_UNPACKED_BYTES))
    try:
        size = unpack(batch.data[_HEADER.size :], plain[_HEADER.size :])
    except (_FullError, cramjam.DecompressionError, zlib.error, struct.error, ValueError) as error:
        if isinstance(error, _FullError) or str(error) == _CRAMJAM_FULL:
            unpacked(MAX_UNPACKED_BYTES)
            bound = MAX_UNPACKED_BYTES >> 20
            raise UnreadableBatchError(f"unpacks to more than {bound} MB") from error
        raise UnreadableBatchError(f"cannot be unpacked as {name}: {error}") from error
    unpacked(size)
    plain[: _HEADER.size] = batch.data[: _HEADER.size]
    _ATTRIBUTES.pack_into(plain, _ATTRIBUTES_AT, batch.attributes & ~_CODEC_BITS)
    return plain[: _HEADER.size + size]


class _FullError(Exception):
    """There is more to unpack than there is room."""


_CRAMJAM_FULL: Final = "failed to write whole buffer"


def _gzip(packed: memoryview, room: memoryview) -> int:
    size = 0
    member = zlib.decompressobj(_GZIP_BITS)
    rest: bytes | memoryview = packed
    while True:
        piece = member.decompress(rest, _GZIP_STEP)
        if size + len(piece) > len(room):
            raise _FullError
        room[size : size + len(piece)] = piece
        size += len(piece)
        if member.eof:
            rest = member.unused_data
            # Java, like gzip, reads further members and leaves out what is none
            if not rest.startswith(_GZIP_MAGIC):
                return size
            member = zlib.decompressobj(_GZIP_BITS)
        else:
            rest = member.unconsumed_tail
            if not rest and not piece:
                raise ValueError("it ends too early")


def _snappy(packed: memoryview, room: memoryview) -> int:
    if bytes(packed[: len(_XERIAL_MAGIC)]) != _XERIAL_MAGIC:
        return _snappy_block(packed, room)
    at = _XERIAL_HEADER_BYTES
    size = 0
    while at < len(packed):
        (length,) = _XERIAL_LENGTH.unpack_from(packed, at)
        at += _XERIAL_LENGTH.size
        if not 0 <= length <= len(packed) - at:
            raise ValueError(f"a block of {length} bytes where {len(packed) - at} are left")
        size += _snappy_block(packed[at : at + length], room[size:])
        at += length
    return size


def _snappy_block(packed: memoryview, room: memoryview) -> int:
    block = bytes(packed)
    # the block's header says it, and what does not keep to it is not unpacked
    if cramjam.snappy.decompress_raw_len(block) > len(room):
        raise _FullError
    return cramjam.snappy.decompress_raw_into(block, room)


def _lz4(packed: memoryview, room: memoryview) -> int:
    return cramjam.lz4.decompress_into(bytes(packed), room)


def _zstd(packed: memoryview, room: memoryview) -> int:
    return cramjam.zstd.decompress_into(bytes(packed), room)


_UNPACK: Final[dict[int, tuple[str, Callable[[memoryview, memoryview], int]]]] = {
    1: ("gzip", _gzip),
    2: ("snappy", _snappy),
    3: ("lz4", _lz4),
    4: ("zstd", _zstd),
}
"""The functions that unpack, by codec number; each returns how many bytes it wrote."""
