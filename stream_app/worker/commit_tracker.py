"""Tracks which source offsets may be committed: those below which every event is acknowledged.

Faust counts acknowledged events itself, and it counts them wrong: an event that was skipped in a
rebalance counts as acknowledged, a gap in the offsets is counted with the event behind it, after
which the committed offset moves by one at each commit, and a commit that fails forgets what it was
to commit. So the agents track their events here, and `stream_app.worker.consumer` commits what this
module says. Faust also acknowledges an event when the agent's loop comes round, whatever is still
in flight: our agents switch that off (`stream.enable_acks = False`) and call
`acknowledge_when_done`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from aiokafka import TopicPartition
from aiokafka.errors import ProducerFenced

from stream_app.kafka.offset_tracker import OffsetTracker

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable, Sequence

    from stream_app.errors import OnFatalError


@dataclass(frozen=True, slots=True)
class InFlightEvent:
    """An event in flight.

    Attributes:
        message: the message, as Faust hands it out.
        first: the offset of its first record.
        end: the next offset after its last record.
        ack: the function that is called once, when everything that the event led to is in Kafka.
        abandon: the function that is called instead if the partition was revoked: its next owner
            reads the records again.
    """

    message: Any
    first: int
    end: int
    ack: Callable[[], None]
    abandon: Callable[[], None]


class CommitTracker:
    """Tracks the events of all partitions since the last assignment."""

    def __init__(self) -> None:
        self._trackers: dict[TopicPartition, OffsetTracker] = {}

    def track(self, event: Any) -> InFlightEvent:
        """Track the next event of a partition; nothing from it on is committed before its `ack`."""
        message = event.message
        first = first_offset(message)
        end = message.offset + 1
        offset_tracker = self._trackers.setdefault(
            TopicPartition(message.topic, message.partition), OffsetTracker(first)
        )
        # an event that is handed out twice has nothing to write the second time: it ends before
        # what the first one led to is in Kafka
        repeated = first < offset_tracker.next_offset
        offset_tracker.start(first, end)

        def ack() -> None:
            # the tracker is the one of this assignment: an event that ends after the next
            # assignment says nothing about the events that were tracked since
            if not repeated:
                offset_tracker.complete(first)
            event.ack()

        return InFlightEvent(message, first, end, ack, event.ack)

    def partitions(self) -> Iterable[TopicPartition]:
        """Return the partitions of which an event was tracked."""
        return list(self._trackers)

    def offset(self, partition: TopicPartition) -> int | None:
        """Return the next offset to commit; None if no event of the partition was tracked."""
        offset_tracker = self._trackers.get(partition)
        return None if offset_tracker is None else offset_tracker.position

    def reset(self, number: int | None = None) -> None:
        """Forget what is in flight in one partition of all topics, or in all: it is read again."""
        self._trackers = {
            partition: offset_tracker
            for partition, offset_tracker in self._trackers.items()
            if number is not None and partition.partition != number
        }


def first_offset(message: Any) -> int:
    """Return the offset of the first record in a message, which itself has that of its last."""
    return int(message.records[0].offset) if hasattr(message, "records") else int(message.offset)


_CANCELLED: Final = RuntimeError("a record's way to Kafka was cut off")


def acknowledge_when_done(
    event: InFlightEvent,
    futures: Sequence[asyncio.Future[Any]],
    on_fatal_error: OnFatalError,
) -> None:
    """Acknowledge `event` once all futures are done; call `on_fatal_error` if one failed.

    A changelog record that the broker refused, because another worker has claimed the partition
    since, is no fatal error: the event is left to the new owner.
    """
    waiting = len(futures)
    abandoned = False
    if not waiting:
        event.ack()
        return

    def on_done(future: asyncio.Future[Any]) -> None:
        nonlocal waiting, abandoned
        error = _CANCELLED if future.cancelled() else future.exception()
        if isinstance(error, ProducerFenced):
            if not abandoned:
                abandoned = True
                event.abandon()
            return
        if error is not None:
            on_fatal_error(error)
            return
        waiting -= 1
        if not waiting:
            event.ack()

    for future in futures:
        future.add_done_callback(on_done)
