"""Hands an event to an agent's work at the moment when it may be applied."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from aiokafka import TopicPartition

from stream_app.errors import RevokedError
from stream_app.worker.commit_tracker import InFlightEvent, acknowledge_when_done, first_offset
from stream_app.worker.owned_partitions import OwnedPartition

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from stream_app.errors import OnFatalError
    from stream_app.worker.commit_tracker import CommitTracker
    from stream_app.worker.gap_skipper import GapSkipper
    from stream_app.worker.owned_partitions import OwnedPartitions

log = logging.getLogger(__name__)

Seek = Callable[[TopicPartition, int], Awaitable[None]]
"""Sends the consumer of a partition to an offset."""

Work = Callable[[InFlightEvent, OwnedPartition], Awaitable[list[asyncio.Future[Any]]]]
"""Applies an event; returns the futures of all records that it led to."""


class EventProcessor:
    """Processes the events of a source topic: each one in its order, once, by its owner.

    An event is applied when its partition is owned here, when the changelog has capacity, and when
    no record before it was missed. It is acknowledged when all records that it led to are in
    Kafka. An event whose partition is revoked meanwhile stays unacknowledged: the next owner reads
    it again. Any other error ends the worker.

    Args:
        owned_partitions: the partitions that this worker owns.
        commit_tracker: tracks the events in flight.
        gap_skipper: finds records that were missed.
        seek: sends the consumer back to a record that was missed.
        on_fatal_error: called with an error of the work.
    """

    def __init__(
        self,
        owned_partitions: OwnedPartitions,
        commit_tracker: CommitTracker,
        gap_skipper: GapSkipper,
        seek: Seek,
        on_fatal_error: OnFatalError,
    ) -> None:
        self._owned_partitions = owned_partitions
        self._commit_tracker = commit_tracker
        self._gap_skipper = gap_skipper
        self._seek = seek
        self._on_fatal_error = on_fatal_error

    async def process(self, stream: Any, work: Work) -> None:
        """Process all events of a Faust stream."""
        # an event is acknowledged by us, not when Faust's loop comes round: see the class
        stream.enable_acks = False
        events: AsyncIterator[Any] = stream.events()
        async for event in events:
            owned = await self._owner_of(event)
            if owned is None:
                # the record comes again, here or to the next owner of its partition
                event.ack()
                continue
            in_flight = self._commit_tracker.track(event)
            try:
                futures = await work(in_flight, owned)
            except RevokedError:
                in_flight.abandon()
                continue
            except Exception as error:  # noqa: BLE001  the worker ends with it
                self._on_fatal_error(error)
                return
            acknowledge_when_done(in_flight, futures, self._on_fatal_error)

    async def _owner_of(self, event: Any) -> OwnedPartition | None:
        """Return the partition that the event may be applied to now; None if it may not be."""
        message = event.message
        owned = self._owned_partitions.get(message.partition)
        if owned is None:
            return None
        await owned.wait_for_capacity()
        first = first_offset(message)
        missed = await self._gap_skipper.find_missed_record(owned, message.topic, first)
        if missed is not None:
            log.warning(
                "%s/%d: offset %d was not handed out: reading on from there",
                message.topic,
                message.partition,
                missed,
            )
            await self._seek(TopicPartition(message.topic, message.partition), missed)
            return None
        return owned if self._owned_partitions.get(message.partition) is owned else None
