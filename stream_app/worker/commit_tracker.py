"""Which source offsets may be committed: those below which every event is done with.

Faust keeps its own books of acknowledged events, and they go wrong: an event that was skipped
in a rebalance counts as acknowledged, a gap in the offsets is entered with the event behind it,
after which the committed offset moves by one a commit, and a commit that fails forgets what
it was to commit. So the agents take their events here, and `stream_app.worker.consumer` asks here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiokafka import TopicPartition

from stream_app.kafka.offset_tracker import OffsetTracker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


@dataclass(frozen=True, slots=True)
class InFlightEvent:
    """An event in hand.

    Attributes:
        message: as Faust hands it out.
        first: the offset of its first record.
        end: the next offset after its last record.
        ack: to call once, when everything that the event led to is in Kafka.
        abandon: to call instead, when the partition was revoked: the records come again to
            whoever owns it next.
    """

    message: Any
    first: int
    end: int
    ack: Callable[[], None]
    abandon: Callable[[], None]


class CommitTracker:
    """The offset_trackers of all partitions since the last assignment."""

    def __init__(self) -> None:
        self._trackers: dict[TopicPartition, OffsetTracker] = {}

    def track(self, event: Any) -> InFlightEvent:
        """Take the next event of a partition; nothing from it on is committed before its `ack`."""
        message = event.message
        first = first_offset(message)
        end = message.offset + 1
        offset_tracker = self._trackers.setdefault(
            TopicPartition(message.topic, message.partition), OffsetTracker(first)
        )
        # what is handed out twice has nothing to write the second time: it is done with before
        # what the first time led to is in Kafka
        repeated = first < offset_tracker.next_offset
        offset_tracker.start(first, end)

        def ack() -> None:
            # the tracker is the one of this assignment: an event that ends after the next one
            # began says nothing about what was taken since
            if not repeated:
                offset_tracker.complete(first)
            event.ack()

        return InFlightEvent(message, first, end, ack, event.ack)

    def partitions(self) -> Iterable[TopicPartition]:
        """Those of which an event was taken."""
        return list(self._trackers)

    def offset(self, partition: TopicPartition) -> int | None:
        """The next offset for whoever reads on; None: no event was taken."""
        offset_tracker = self._trackers.get(partition)
        return None if offset_tracker is None else offset_tracker.position

    def reset(self, number: int | None = None) -> None:
        """Forget what is in flight in a partition of all topics, or in all: it comes again."""
        self._trackers = {
            partition: offset_tracker
            for partition, offset_tracker in self._trackers.items()
            if number is not None and partition.partition != number
        }


def first_offset(message: Any) -> int:
    """The offset of the first record in a message; one that carries many has that of its last."""
    return int(message.records[0].offset) if hasattr(message, "records") else int(message.offset)
