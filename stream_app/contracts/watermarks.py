"""The records of `watermarks`: the applied offset of each source partition.

The owner of a partition writes its watermark when the offset advances, and as a heartbeat. Readers
start at the end of the topic, so a partition without a recent record has no owner. No `from
__future__ import annotations`: pydantic reads the models.
"""

from dataclasses import dataclass
from typing import Any, NotRequired

import orjson
from typing_extensions import TypedDict

from stream_app.contracts.fields import Count, Microseconds, closed, own_object_of, validate_own


@dataclass(frozen=True, slots=True)
class Watermark:
    """Everything below `applied` of a source partition is in the tables.

    Attributes:
        topic: the source topic.
        partition: the partition of that topic.
        applied: the next offset to apply.
        newest_poll: µs of the newest poll among all stores of the partition; None: no poll.
        topic_id: Kafka's id of the source topic, since a topic that is deleted and made anew
            begins at offset 0 again; None: written by an earlier version, or under a broker
            without topic ids.
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

        The newest poll is that of the further one, since a store that is removed takes its polls
        along; of two that are equally far the later poll.

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
    """Everything below `applied` of a source partition is in the tables of its owner."""

    topic: str
    """A source topic."""
    partition: Count
    """One of its partitions."""
    applied: Count
    """The first offset that is not applied yet."""
    newest_poll: Microseconds | None
    """Of all stores of the partition, in microseconds since 1970."""
    topic_id: NotRequired[str | None]
    """Kafka's id of the source topic: one that was deleted and made anew has another."""
    stores: NotRequired[Count]
    """Of the partition; told with polls alone."""


def watermark_key(watermark: Watermark) -> bytes:
    """The key of the record: `topic/partition`."""
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
        RecordError: it cannot be used.
    """
    return _watermark(own_object_of(value))


def _watermark(content: dict[str, Any]) -> Watermark:
    # earlier versions left it out where there was no poll
    content.setdefault("newest_poll", None)
    return Watermark(**validate_own(WatermarkRecord, content, "a watermark"))


@dataclass(frozen=True, slots=True)
class RestoreStatus:
    """How far a worker is with reading a partition back, before it owns it.

    Attributes:
        partition: the partition number.
        done: changelog records that were read since the restore began.
        to_do: changelog records that are still to read.
        seconds_left: how long that may take at the pace so far; None: not known yet.
    """

    partition: int
    done: int
    to_do: int
    seconds_left: int | None = None

    def describe(self) -> str:
        """One line for people."""
        if not self.done and not self.to_do:
            return f"partition {self.partition} is being claimed"
        left = "" if self.seconds_left is None else f", about {self.seconds_left} s left"
        return (
            f"partition {self.partition} is being restored: {self.done:,} of "
            f"{self.done + self.to_do:,} changelog records read{left}"
        )


@closed
class RestoreStatusRecord(TypedDict):
    """How far a worker is with reading a partition back, before it owns it."""

    restore: Count
    """The partition number."""
    done: Count
    """Changelog records that were read."""
    to_do: Count
    """Changelog records that are still to read."""
    seconds_left: Count | None
    """How long the rest will take, as it looks now; null: nobody can say yet."""


def restore_key(status: RestoreStatus) -> bytes:
    """The key of the record: `restore/partition`."""
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
    """Read a `watermarks` record of either kind.

    Raises:
        RecordError: it cannot be used.
    """
    content = own_object_of(value)
    if "restore" not in content:
        return _watermark(content)
    content.setdefault("seconds_left", None)
    status = validate_own(RestoreStatusRecord, content, "a restore status")
    return RestoreStatus(status["restore"], status["done"], status["to_do"], status["seconds_left"])
