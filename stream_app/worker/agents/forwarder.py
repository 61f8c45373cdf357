"""Forwards records to the partitions that own their stores."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from aiokafka import TopicPartition
from aiokafka.errors import MessageSizeTooLargeError

from stream_app.contracts.revisions import ORIGIN_HEADER, encode_origin, forwarded_key
from stream_app.contracts.topics import STORE_STATUS
from stream_app.worker.agents.messages import log_dead_letter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_app.worker.agents.chunk_result import MisplacedRecord
    from stream_app.worker.commit_tracker import InFlightEvent
    from stream_app.worker.owned_partitions import OwnedPartition, OwnedPartitions
    from stream_app.worker.publisher import Publisher


class Forwarder:
    """Forwards misplaced records in the order in which they came.

    Args:
        publisher: sends the records, and dead letters of those that are too large.
        owned_partitions: completes an event's offsets when all of its records are forwarded.
    """

    def __init__(self, publisher: Publisher, owned_partitions: OwnedPartitions) -> None:
        self._publisher = publisher
        self._owned_partitions = owned_partitions
        self._tasks: set[asyncio.Task[None]] = set()
        self._locks: defaultdict[TopicPartition, asyncio.Lock] = defaultdict(asyncio.Lock)

    def start(
        self, records: Sequence[MisplacedRecord], owned: OwnedPartition, event: InFlightEvent
    ) -> asyncio.Task[None]:
        """Start to forward the misplaced records of an event; the task ends when all are in Kafka.

        The offsets of the event are completed only then: a report that waits for this partition
        finds the records below the end offset of the partition that owns their stores.
        """
        task = asyncio.create_task(self._forward(records, owned, event))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _forward(
        self, records: Sequence[MisplacedRecord], owned: OwnedPartition, event: InFlightEvent
    ) -> None:
        sent = []
        too_large = []
        # in the order in which they came: what follows a removal must not come before it
        async with self._locks[TopicPartition(event.message.topic, owned.number)]:
            for misplaced in records:
                try:
                    future = await self._send(misplaced)
                except MessageSizeTooLargeError:
                    too_large.append(misplaced)
                else:
                    sent.append((misplaced, future))
        for misplaced, future in sent:
            try:
                await asyncio.shield(future)
            except MessageSizeTooLargeError:
                # it came compressed, or without a key
                too_large.append(misplaced)
        for misplaced in too_large:
            reason = (
                f"too large to pass on: {misplaced.store_id} belongs to partition "
                f"{misplaced.partition}"
            )
            dead_letter = log_dead_letter(misplaced.record, reason)
            await asyncio.shield(await self._publisher.publish_dead_letter(dead_letter))
        self._owned_partitions.complete(owned, event.message.topic, event.first)

    async def _send(self, misplaced: MisplacedRecord) -> asyncio.Future[Any]:
        record, origin = misplaced.record, misplaced.origin
        key = misplaced.store_id
        if record.topic != STORE_STATUS.name:
            key = forwarded_key(misplaced.store_id, origin)
        headers = [(ORIGIN_HEADER, encode_origin(origin))]
        return await self._publisher.forward(
            record.topic, misplaced.partition, key, record.value, headers
        )
