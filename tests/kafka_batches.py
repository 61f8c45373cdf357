"""Record batches made by hand: valid ones of each codec, and ones that no client can read."""

from __future__ import annotations

import gzip
import struct
import zlib
from typing import TYPE_CHECKING, Final

import cramjam
from aiokafka import codec as aiokafka_codec
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NAMES: Final = ("none", "gzip", "snappy", "lz4", "zstd")
"""The codecs; the position of each is its number in the header of a batch."""

HEADER_BYTES: Final = 61
_CRC_AT: Final = 17
_ATTRIBUTES_AT: Final = 21
_LAST_DELTA_AT: Final = 23
_PRODUCER_AT: Final = 43

PACK: Final[dict[str, Callable[[bytes], bytes]]] = {
    "none": bytes,
    "gzip": gzip.compress,
    "snappy": aiokafka_codec.snappy_encode,
    "lz4": aiokafka_codec.lz4_encode,
    "zstd": aiokafka_codec.zstd_encode,
}


def raw_snappy(data: bytes) -> bytes:
    """Compress in the format of librdkafka, which has no frame of snappy-java."""
    return bytes(cramjam.snappy.compress_raw(data))


def batch_of(
    values: Sequence[bytes | None],
    codec: str = "none",
    *,
    base: int = 0,
    pack: Callable[[bytes], bytes] | None = None,
    damage: Callable[[bytes], bytes] = bytes,
    count: int | None = None,
    attributes: int = 0,
    producer_id: int = -1,
) -> bytes:
    """Make a batch with a correct checksum.

    Args:
        values: the values of its records; the key of each has its number.
        codec: codec that the header names.
        base: first offset of the batch.
        pack: compresses the records; None for the compression of the codec.
        damage: changes the records before they are compressed.
        count: number of records in the header; None for the right number.
        attributes: further bits of the attributes in the header.
        producer_id: id of the producer in the header.
    """
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=0,
        producer_id=producer_id,
        producer_epoch=0,
        base_sequence=0,
        batch_size=1 << 30,
    )
    for number, value in enumerate(values):
        builder.append(
            number, timestamp=1_000 + number, key=b"k%d" % number, value=value, headers=[]
        )
    plain = bytes(builder.build())
    body = (pack or PACK[codec])(damage(plain[HEADER_BYTES:]))
    batch = bytearray(plain[:HEADER_BYTES] + body)
    struct.pack_into(">h", batch, _ATTRIBUTES_AT, NAMES.index(codec) | attributes)
    if count is not None:
        struct.pack_into(">i", batch, HEADER_BYTES - 4, count)
    return sealed(batch, base)


def sealed(batch: bytes | bytearray, base: int) -> bytes:
    """Return the batch with the right length and checksum, and with a first offset."""
    changed = bytearray(batch)
    struct.pack_into(">qi", changed, 0, base, len(changed) - 12)
    struct.pack_into(">I", changed, _CRC_AT, calc_crc32c(bytes(changed[_ATTRIBUTES_AT:])))
    return bytes(changed)


def with_codec(batch: bytes, number: int) -> bytes:
    """Return the batch with the number of another codec, and with a correct checksum."""
    changed = bytearray(batch)
    struct.pack_into(">h", changed, _ATTRIBUTES_AT, number)
    return sealed(changed, struct.unpack_from(">q", batch)[0])


def with_last_delta(batch: bytes, delta: int) -> bytes:
    """Return the batch with another delta of its last offset, and with the old checksum."""
    changed = bytearray(batch)
    struct.pack_into(">i", changed, _LAST_DELTA_AT, delta)
    return bytes(changed)


def flipped(batch: bytes, at: int = -3) -> bytes:
    """Return the batch with one byte changed, and with the old checksum."""
    changed = bytearray(batch)
    changed[at] ^= 0x55
    return bytes(changed)


def bomb(megabytes: int, codec: str = "gzip", *, base: int = 0, value: bytes = b" ") -> bytes:
    """Make a small batch of one record whose value has very many bytes, all the same.

    In gzip the value is a thousand times as large as the batch. The value is never in memory as a
    whole.
    """
    size = megabytes << 20
    # attributes, time and offset, the key, the length of the value, the value, no headers
    head = b"\0\0\0" + _varint(len(b"bomb")) + b"bomb" + _varint(size)
    body = bytearray()
    packer = {
        "gzip": _Gzip,
        "lz4": cramjam.lz4.Compressor,
        "zstd": cramjam.zstd.Compressor,
    }[codec]()
    packer.compress(_varint(len(head) + size + 1) + head)
    megabyte = value * (1 << 20)
    for _ in range(megabytes):
        packer.compress(megabyte)
        body += bytes(packer.flush())
    packer.compress(b"\0")
    body += bytes(packer.finish())
    return batch_of([b""], codec, base=base, pack=lambda _: bytes(body))


class _Gzip:
    """A compressor of gzip with the methods of cramjam's compressors."""

    def __init__(self) -> None:
        self._packer = zlib.compressobj(wbits=31)
        self._output = bytearray()

    def compress(self, data: bytes) -> None:
        self._output += self._packer.compress(data)

    def flush(self) -> bytes:
        output, self._output = bytes(self._output), bytearray()
        return output

    def finish(self) -> bytes:
        return self.flush() + self._packer.flush()


def _varint(number: int) -> bytes:
    left = number << 1
    encoded = bytearray()
    while left > 0x7F:
        encoded.append(left & 0x7F | 0x80)
        left >>= 7
    encoded.append(left)
    return bytes(encoded)
