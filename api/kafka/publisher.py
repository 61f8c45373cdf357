"""Sends records to Kafka: in-flight records are bounded, and no request waits long for one.

An idempotent producer tries for as long as it takes, so a record outlives the request that
brought it: the request is answered 503 in time, and the record counts in the budget
until the broker has it or never will. While one partition acknowledges nothing, no further
record is sent to it; the records in flight show when it is back.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Final

from stream_app.contracts.partitioning import partition_of
from stream_app.errors import BrokerUnavailableError, OverloadedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from api.http.memory_budget import MemoryBudget
    from stream_app.contracts.topics import TopicSpec
    from stream_app.kafka.batch_producer import BatchMetadata
    from stream_app.settings import Settings

    Send = Callable[[TopicSpec, int, bytes, bytes | None], asyncio.Future[BatchMetadata]]

ANSWER_SECONDS: Final = 5.0
"""Seconds that an HTTP request waits for the broker or the workers at the longest."""

UNACKNOWLEDGED_BYTES: Final = 32 << 20
"""Bytes of records that all requests together may have in flight."""

RECORD_BYTES: Final = 512
"""Bytes of memory that a record costs besides its key and value."""

_partition_of = lru_cache(maxsize=65_536)(partition_of)


@dataclass(slots=True)
class _Batch:
    """The time at which the first of its records was sent, and the cost of all of them."""

    handed_over: float
    cost: int = 0


@dataclass(slots=True)
class _Partition:
    """The batches in flight, oldest first, and when the last one was acknowledged."""

    in_flight: dict[asyncio.Future[BatchMetadata], _Batch] = field(default_factory=dict)
    acknowledged: float = float("-inf")


class BoundedPublisher:
    """Sends records, and bounds their memory and the time that a caller waits.

    Args:
        send: sends a record to a partition; returns the future of its batch, and raises
            `BrokerUnavailableError` when it cannot.
        budget: the budget that all records share.
        settings: the partition counts.
        monotonic: a clock in seconds that never goes back.
    """

    def __init__(
        self,
        send: Send,
        budget: MemoryBudget,
        settings: Settings,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.budget = budget
        self._send = send
        self._settings = settings
        self._monotonic = monotonic
        self._partitions: defaultdict[tuple[str, int], _Partition] = defaultdict(_Partition)

    def require_acknowledgements(self, topic: TopicSpec, key: bytes) -> None:
        """Raise an error if the partition of a key has acknowledged nothing for too long.

        Raises:
            BrokerUnavailableError: the partition acknowledges nothing, so a record would wait too.
        """
        self.require_all_acknowledgements(topic, [key])

    def require_all_acknowledgements(self, topic: TopicSpec, keys: Iterable[bytes]) -> None:
        """Do what `require_acknowledgements` does, for the partitions of many keys."""
        count = topic.partitions(self._settings)
        for number in {_partition_of(key, count) for key in keys}:
            self._require_acknowledgements_of(topic, self._partitions[topic.name, number])

    def _require_acknowledgements_of(self, topic: TopicSpec, partition: _Partition) -> None:
        if not partition.in_flight:
            return
        oldest = next(iter(partition.in_flight.values()))
        waiting = self._monotonic() - max(oldest.handed_over, partition.acknowledged)
        if waiting > ANSWER_SECONDS:
            raise BrokerUnavailableError(
                f"Kafka has not acknowledged a record on {topic.name} for {waiting:.0f} s"
            )

    def send_reserved(
        self, topic: TopicSpec, key: bytes, value: bytes | None, cost: int
    ) -> asyncio.Future[BatchMetadata]:
        """Send a record whose cost is reserved; the cost is released when it is acknowledged.

        Returns:
            the future of its batch; wait for it with `acknowledged_at`.

        Raises:
            BrokerUnavailableError: it cannot be sent now.
        """
        topic_partition = self._topic_partition(topic, key)
        try:
            sent = self._send(topic, topic_partition[1], key, value)
        except BrokerUnavailableError:
            self.budget.release(cost)
            raise
        partition = self._partitions[topic_partition]
        batch = partition.in_flight.get(sent)
        if batch is None:
            batch = partition.in_flight[sent] = _Batch(self._monotonic())
            sent.add_done_callback(partial(self._ended, partition))
        batch.cost += cost
        return sent

    def _ended(self, partition: _Partition, sent: asyncio.Future[BatchMetadata]) -> None:
        self.budget.release(partition.in_flight.pop(sent).cost)
        if not sent.cancelled() and sent.exception() is None:
            partition.acknowledged = self._monotonic()

    def send(
        self, topic: TopicSpec, key: bytes, value: bytes | None
    ) -> asyncio.Future[BatchMetadata]:
        """Reserve the cost and send, as `send_reserved`.

        Raises:
            OverloadedError: too much is waiting for the broker.
            BrokerUnavailableError: it cannot be sent now.
        """
        self.require_acknowledgements(topic, key)
        cost = RECORD_BYTES + len(key) + len(value or b"")
        if not self.budget.try_acquire(cost):
            raise overloaded()
        return self.send_reserved(topic, key, value, cost)

    async def send_when_room(
        self, topic: TopicSpec, key: bytes, value: bytes
    ) -> asyncio.Future[BatchMetadata]:
        """Send as `send` does, but wait a while for room."""
        self.require_acknowledgements(topic, key)
        cost = RECORD_BYTES + len(key) + len(value)
        await self.reserve(cost)
        return self.send_reserved(topic, key, value, cost)

    async def reserve(self, cost: int) -> None:
        """Reserve a cost; wait a while for room.

        Raises:
            OverloadedError: there was no room in time.
        """
        if not await self.budget.acquire(cost, ANSWER_SECONDS):
            raise overloaded()

    async def drain(self, patience: float) -> None:
        """Wait until the records in flight are acknowledged, for at most `patience` seconds."""
        in_flight = {
            sent for partition in self._partitions.values() for sent in partition.in_flight
        }
        if in_flight:
            await asyncio.wait(in_flight, timeout=patience)

    def _topic_partition(self, topic: TopicSpec, key: bytes) -> tuple[str, int]:
        return topic.name, _partition_of(key, topic.partitions(self._settings))


async def acknowledged_at(sent: asyncio.Future[BatchMetadata]) -> int:
    """Return the append time, µs, of a batch that others may wait for too.

    Raises:
        BrokerUnavailableError: the batch was not acknowledged in time; it may be acknowledged
            later, or never.
    """
    if not sent.done():
        await asyncio.wait({sent}, timeout=ANSWER_SECONDS)
    if not sent.done():
        raise BrokerUnavailableError(f"Kafka did not acknowledge within {ANSWER_SECONDS:g} s")
    if sent.cancelled():
        raise BrokerUnavailableError("the API is stopping")
    error = sent.exception()
    if error is not None:
        raise BrokerUnavailableError(f"Kafka refuses a record: {error!r}") from error
    return sent.result().append_time


def overloaded() -> OverloadedError:
    """Return the error for a full budget."""
    return OverloadedError("too much is waiting for Kafka: try again in a moment")
