"""Changelog records about the partition itself: source positions and lost ranges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_LOST_RANGES: Final = 100
"""Lost ranges that one partition remembers; the oldest ones are forgotten first."""


class SourcePosition(NamedTuple):
    """The offset up to which one source topic's partition is applied to the facts.

    Attributes:
        topic_id: the topic's id, since a topic that is created again begins at 0; empty if
            the id is not known.
        offset: all facts of records below it are in the changelog before this record.
    """

    topic_id: str
    offset: int


@dataclass(frozen=True, slots=True)
class LostRange:
    """Source records that the log deleted before any worker had applied them.

    Attributes:
        topic: the source topic.
        partition: its partition.
        first: the first lost offset.
        end: the offset behind the last lost one.
        noticed_at: the time at which a worker noticed it, in µs since the epoch.
    """

    topic: str
    partition: int
    first: int
    end: int
    noticed_at: int

    def describe(self) -> dict[str, str | int]:
        """Return the fields that a report shows."""
        return {
            "topic": self.topic,
            "partition": self.partition,
            "first_offset": self.first,
            "end_offset": self.end,
        }


def encode_positions(positions: Mapping[str, SourcePosition]) -> bytes:
    """Write the value under `POSITION_KEY`."""
    return orjson.dumps({topic: list(position) for topic, position in positions.items()})


def decode_positions(value: bytes | None) -> dict[str, SourcePosition]:
    """Read what `encode_positions` wrote; None and what cannot be read are no positions."""
    try:
        content = orjson.loads(value or b"{}")
        return {
            topic: SourcePosition(str(topic_id), int(offset))
            for topic, (topic_id, offset) in content.items()
        }
    except (AttributeError, TypeError, ValueError):
        return {}


def encode_lost(ranges: Iterable[LostRange]) -> bytes:
    """Write the value under `LOST_KEY`."""
    return orjson.dumps(
        [[r.topic, r.partition, r.first, r.end, r.noticed_at] for r in ranges][-MAX_LOST_RANGES:]
    )


def decode_lost(value: bytes | None) -> list[LostRange]:
    """Read what `encode_lost` wrote; None and what cannot be read are no ranges."""
    try:
        return [
            LostRange(str(topic), int(partition), int(first), int(end), int(noticed_at))
            for topic, partition, first, end, noticed_at in orjson.loads(value or b"[]")
        ]
    except (TypeError, ValueError):
        return []
