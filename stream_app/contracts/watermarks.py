"""The records of `watermarks`: the applied offset of each source partition.

The owner of a partition writes its watermark when the offset advances, and as a heartbeat. Readers
start at the end of the topic, so a partition without a recent record has no owner. While a worker
restores a partition, it writes the progress here too. No `from __future__ import annotations`:
pydantic reads the models.
"""

from dataclasses import dataclass
from typing import Any, NotRequired

import orjson
from typing_extensions import TypedDict

from stream_app.contracts.fields import Count, Microseconds, closed, own_object_of, validate_own


@dataclass(frozen=True, slots=True)
class Watermark:
    """All records of a source partition below `applied` are in the tables.

    Attributes:
        topic: the source topic.
        partition: the partition of that topic.
        applied: the next offset to apply.
        newest_poll: µs of the newest poll among all stores of the partition; None without a poll.
        topic_id: Kafka's id of the source topic, since a topic that is deleted and created anew
            begins at offset 0 again; None if an earlier version wrote the record, or if the
            broker has no topic ids.
        stores: the number of stores of the partition; only in watermarks of `store-status`.
    """

    topic: str
    partition: int
    applied: int
    newest_poll: int | None = None
    topic_id: str | None = None
    stores: int = 0

    def joined(self, other: "Watermark | None") -> "Watermark":
        """Merge two watermarks of a partition: the applied offset only advances.

        The newest poll is that of the watermark with the higher applied offset, since the polls of
        a removed store do not count any more. If both offsets are equal, it is the later poll.

        Args:
            other: the watermark known before; it does not count if it is of another topic id.
        """
        if other is None or self.topic_id not in (None, other.topic_id):
            return self
        stores = max(self.stores, other.stores)
        if self.applied != other.applied:
            further = max(self, other, key=lambda one: one.applied)
            newest, stores = further.newest_poll, further.stores
        else:
            newest = max(
                (poll for poll in (self.newest_poll, other.newest_poll) if poll is not None),
                default=None,
            )
        applied = max(self.applied, other.applied)
        return Watermark(self.topic, self.partition, applied, newest, other.topic_id, stores)


@closed
class WatermarkRecord(TypedDict):
    """All records of a source partition below `applied` are in the tables of its owner."""

    topic: str
    """The source topic."""
    partition: Count
    """The partition of the topic."""
    applied: Count
    """The first offset that is not applied yet."""
    newest_poll: Microseconds | None
    """The newest poll of all stores of the partition, in microseconds since 1970."""
    topic_id: NotRequired[str | None]
    """Kafka's id of the source topic: a topic that is deleted and created anew has another id."""
    stores: NotRequired[Count]
    """The number of stores of the partition; only in watermarks of `store-status`."""


def watermark_key(watermark: Watermark) -> bytes:
    """Return the key of the record: `topic/partition`."""
    return f"{watermark.topic}/{watermark.partition}".encode()


def encode_watermark(watermark: Watermark) -> bytes:
    """Write a `watermarks` record."""
    return orjson.dumps(
        {
            "topic": watermark.topic,
            "partition": watermark.partition,
            "applied": watermark.applied,
            "newest_poll": watermark.newest_poll,
            "topic_id": watermark.topic_id,
            "stores": watermark.stores,
        }
    )


def decode_watermark(value: bytes | None) -> Watermark:
    """Read a `watermarks` record about applied records.

    Raises:
        RecordError: the record is not a valid watermark.
    """
    return _watermark(own_object_of(value))


def _watermark(content: dict[str, Any]) -> Watermark:
    # earlier versions left the field out if there was no poll
    content.setdefault("newest_poll", None)
    return Watermark(**validate_own(WatermarkRecord, content, "a watermark"))


@dataclass(frozen=True, slots=True)
class RestoreStatus:
    """The progress of a worker that restores a partition before it owns it.

    Attributes:
        partition: the partition number.
        done: the number of changelog records that were read since the restore began.
        to_do: the number of changelog records that are still to read.
        seconds_left: the estimated time until the end, at the speed so far; None if not known yet.
    """

    partition: int
    done: int
    to_do: int
    seconds_left: int | None = None

    def describe(self) -> str:
        """Describe the progress in one line for people."""
        if not self.done and not self.to_do:
            return f"partition {self.partition} is being claimed"
        left = "" if self.seconds_left is None else f", about {self.seconds_left} s left"
        return (
            f"partition {self.partition} is being restored: {self.done:,} of "
            f"{self.done + self.to_do:,} changelog records read{left}"
        )


@closed
class RestoreStatusRecord(TypedDict):
    """The progress of a worker that restores a partition before it owns it."""

    restore: Count
    """The partition number."""
    done: Count
    """The number of changelog records that were read."""
    to_do: Count
    """The number of changelog records that are still to read."""
    seconds_left: Count | None
    """The estimated seconds until the end of the restore; null if it is not known yet."""


def restore_key(status: RestoreStatus) -> bytes:
    """Return the key of the record: `restore/partition`."""
    return f"restore/{status.partition}".encode()


def encode_restore(status: RestoreStatus) -> bytes:
    """Write a `watermarks` record about a restore."""
    return orjson.dumps(
        {
            "restore": status.partition,
            "done": status.done,
            "to_do": status.to_do,
            "seconds_left": status.seconds_left,
        }
    )


def decode_progress(value: bytes | None) -> Watermark | RestoreStatus:
    """Read a `watermarks` record, which is a watermark or the progress of a restore.

    Raises:
        RecordError: the record is not valid.
    """
    content = own_object_of(value)
    if "restore" not in content:
        return _watermark(content)
    content.setdefault("seconds_left", None)
    status = validate_own(RestoreStatusRecord, content, "a restore status")
    return RestoreStatus(status["restore"], status["done"], status["to_do"], status["seconds_left"])
