"""Revisions decide which record of a fact counts: the one that the broker appended last.

Business hours and timezones are such facts: a record replaces the one before it as a whole. All
records of a store are read from the store's own partition. A record that a client sent to another
partition is forwarded to it by a worker, behind all records that came there meanwhile, so its
place in the log says nothing about its age. It therefore carries its origin in a header. Every
reader of such a topic (the table of a worker, the API's view, `explain`, the replay of dead
letters) calls `Revision.superseding`, one record after the other in the order of the log. So they
all end with the same record, however often records are forwarded or read again.

The order of the log decides wherever it can, since the clocks of brokers differ and go back: a
record that was sent to the store's own partition is newer than everything before it in the log.
Only a forwarded record is judged by time, against the latest time of all that it would replace.
"""

import struct
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from stream_app.contracts.fields import Count, closed, validate
from stream_app.contracts.json_text import parse_json
from stream_app.errors import RecordError

ORIGIN_HEADER: Final = "store-uptime-origin"
"""The name of the record header that carries the origin of a forwarded record."""

_PARTITION_LIMIT: Final = 1 << 31
_OFFSET_LIMIT: Final = 1 << 63

_FORM: Final = struct.Struct(">qqiq")
_NOT_FORWARDED: Final = (-1, -1)


@closed
@dataclass(frozen=True, slots=True)
class RecordOrigin:
    """The first place and time of a record that a worker forwarded to its store's partition."""

    append_time_ms: Count
    """The broker's time of the record, in milliseconds since 1970."""
    partition: Count
    """The partition of the same topic that the record was sent to."""
    offset: Count
    """The offset of the record in that partition."""


def origin_of(record: Any) -> RecordOrigin:
    """Return the origin of a record that is about to be forwarded."""
    return RecordOrigin(record.timestamp, record.partition, record.offset)


def forwarded_key(store_id: str, origin: RecordOrigin) -> str:
    """Return the key of a forwarded record.

    It is not the store id: compaction keeps the last record of a key, and the record that was
    forwarded last may be older than the one that counts.
    """
    return f"{store_id}@{origin.partition}"


def encode_origin(origin: RecordOrigin) -> bytes:
    """Write the value of the header `ORIGIN_HEADER`."""
    return orjson.dumps(origin)


def _decode_origin(value: Any) -> RecordOrigin | None:
    """Read the value of the header; return None if no worker can have written it."""
    try:
        origin = validate(RecordOrigin, parse_json(value or b""))
    except RecordError:
        return None
    in_range = (
        origin.append_time_ms < _OFFSET_LIMIT
        and origin.partition < _PARTITION_LIMIT
        and origin.offset < _OFFSET_LIMIT
    )
    return origin if in_range else None


def origin_in(record: Any) -> RecordOrigin | None:
    """Return the origin that a record carries; None for a record that no worker forwarded.

    A client may write any header. A worker never forwards a record to its own partition, so a
    header that says so does not count. Nor does a time that is later than the record's own, or a
    client could set a fact for ever.
    """
    for name, value in record.headers:
        if name == ORIGIN_HEADER:
            origin = _decode_origin(value)
            if origin is None or origin.partition == record.partition:
                return None
            return replace(origin, append_time_ms=min(origin.append_time_ms, record.timestamp))
    return None


@dataclass(frozen=True, slots=True)
class Revision:
    """The record that a fact of a store was read from.

    Attributes:
        position: the record's offset on the store's own partition.
        latest_ms: the broker's time of the record, or of an earlier one that it superseded if that
            is later, in milliseconds since 1970: no record up to then can replace it by its time.
        forwarded_from: the first partition of a forwarded record and its offset there; None for a
            record that was sent to the store's own partition.
    """

    position: int
    latest_ms: int
    forwarded_from: tuple[int, int] | None = None

    @classmethod
    def of(cls, record: Any) -> "Revision":
        """Return the revision of a record on the store's own partition."""
        origin = origin_in(record)
        if origin is None:
            return cls(record.offset, record.timestamp)
        return cls(record.offset, origin.append_time_ms, (origin.partition, origin.offset))

    def superseding(self, current: "Revision | None") -> "Revision | None":
        """Compare this revision with the one that a fact has now.

        Args:
            current: the present revision of the fact; None if there is no fact, or if an earlier
                version stored it without a revision.

        Returns:
            the revision to store with the fact; None if this record is older, or has been read.
        """
        if current is None:
            return self
        if not self._is_newer_than(current):
            return None
        return replace(self, latest_ms=max(self.latest_ms, current.latest_ms))

    def _is_newer_than(self, current: "Revision") -> bool:
        if self.latest_ms > current.latest_ms:
            # no record that was read before is later; it also holds for a topic that was made anew,
            # whose offsets begin at 0 again
            return True
        if self.position <= current.position:
            # it was read before
            return False
        if self.forwarded_from is None:
            return True
        if current.forwarded_from is None:
            return False
        if self.forwarded_from[0] == current.forwarded_from[0]:
            # within one partition the offsets decide, whatever the broker's clock did
            return self.forwarded_from > current.forwarded_from
        # of two records of one millisecond any may count, if the order of reading has no influence
        return self.latest_ms == current.latest_ms and self.forwarded_from > current.forwarded_from


REVISION_BYTES: Final = _FORM.size
"""The number of bytes of an encoded revision."""


def encode_revision(revision: Revision) -> bytes:
    """Write a revision in `REVISION_BYTES` bytes."""
    forwarded = revision.forwarded_from or _NOT_FORWARDED
    return _FORM.pack(revision.position, revision.latest_ms, *forwarded)


def decode_revision(value: bytes) -> Revision:
    """Read a revision that `encode_revision` wrote."""
    position, latest_ms, *forwarded = _FORM.unpack(value)
    origin = (forwarded[0], forwarded[1])
    return Revision(position, latest_ms, None if origin == _NOT_FORWARDED else origin)
