"""Records on their way to Kafka: bounded in number, and nobody waits long for one.

An idempotent producer tries for as long as it takes, so a record outlives the request that
brought it: the request is answered 503 in time, the record keeps its place in the budget
until the broker has it or never will. While one partition acknowledges nothing, no further
record is taken for it; those under way are what finds out that it is back.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING, Final

from stream_app.contracts.partitioning import partition_of
from stream_app.errors import BrokerUnavailableError, OverloadedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from api.budget import Budget
    from stream_app.contracts.topics import TopicSpec
    from stream_app.settings import Settings

    Send = Callable[[TopicSpec, int, bytes, bytes], Awaitable[int]]

ANSWER_SECONDS: Final = 5.0
"""No HTTP request waits longer than this for the broker or the workers."""

UNACKNOWLEDGED_BYTES: Final = 32 << 20
"""What all requests together may have accepted and not yet seen acknowledged."""

RECORD_BYTES: Final = 512
"""What a record costs besides its key and value: futures, a task, a place in the producer."""

_partition_of = lru_cache(maxsize=65_536)(partition_of)


@dataclass(slots=True)
class _Partition:
    """When each record under way was handed over, oldest first, and when the last one ended."""

    under_way: dict[int, float] = field(default_factory=dict)
    acknowledged: float = float("-inf")


class Outgoing:
    """Sends records and says in time what became of them.

    Args:
        send: sends a record to a partition; returns its append time in µs, raises when it failed
            for good.
        budget: shared by all that goes out; who hands a record over has taken its cost.
        settings: the partition counts.
        monotonic: a clock in seconds that never goes back.
    """

    def __init__(
        self,
        send: Send,
        budget: Budget,
        settings: Settings,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.budget = budget
        self._send = send
        self._settings = settings
        self._monotonic = monotonic
        self._numbers = count()
        self._partitions: defaultdict[tuple[str, int], _Partition] = defaultdict(_Partition)
        self._tasks: set[asyncio.Task[int]] = set()

    def check(self, topic: TopicSpec, key: bytes) -> None:
        """Whether a record for this key can be taken at all.

        Raises:
            BrokerUnavailableError: its partition has acknowledged nothing for too long.
        """
        partition = self._partitions[self._place(topic, key)]
        if not partition.under_way:
            return
        oldest = next(iter(partition.under_way.values()))
        waiting = self._monotonic() - max(oldest, partition.acknowledged)
        if waiting > ANSWER_SECONDS:
            raise BrokerUnavailableError(
                f"Kafka has not acknowledged a record on {topic.name} for {waiting:.0f} s"
            )

    async def deliver(self, topic: TopicSpec, key: bytes, value: bytes, cost: int) -> int:
        """Send a record whose cost has been taken, and give it back at the end.

        Returns:
            the broker's append time, µs.

        Raises:
            BrokerUnavailableError: it failed for good.
        """
        place = self._place(topic, key)
        partition = self._partitions[place]
        number = next(self._numbers)
        partition.under_way[number] = self._monotonic()
        try:
            taken = await self._send(topic, place[1], key, value)
            partition.acknowledged = self._monotonic()
        finally:
            self.budget.give_back(cost)
            del partition.under_way[number]
        return taken

    def start(self, topic: TopicSpec, key: bytes, value: bytes) -> asyncio.Future[int]:
        """Take the cost and send: what becomes of it, to be waited for without cancelling it.

        Raises:
            OverloadedError: as much is waiting as may wait.
            BrokerUnavailableError: its partition has acknowledged nothing for too long.
        """
        self.check(topic, key)
        cost = RECORD_BYTES + len(key) + len(value)
        if not self.budget.try_take(cost):
            raise overloaded()
        return self._begin(topic, key, value, cost)

    async def start_patiently(
        self, topic: TopicSpec, key: bytes, value: bytes
    ) -> asyncio.Future[int]:
        """As `start`, but wait a while for room."""
        self.check(topic, key)
        cost = RECORD_BYTES + len(key) + len(value)
        await self.make_room(cost)
        return self._begin(topic, key, value, cost)

    async def make_room(self, cost: int) -> None:
        """Take a cost, waiting a while for room.

        Raises:
            OverloadedError: there was none in time.
        """
        if not await self.budget.take(cost, ANSWER_SECONDS):
            raise overloaded()

    async def settle(self, patience: float) -> None:
        """Wait for what is under way, for so many seconds at most."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=patience)

    def _begin(self, topic: TopicSpec, key: bytes, value: bytes, cost: int) -> asyncio.Future[int]:
        task = asyncio.create_task(self.deliver(topic, key, value, cost))
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[int]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            # whoever waited may have given up: nobody has to ask for an error
            task.exception()

    def _place(self, topic: TopicSpec, key: bytes) -> tuple[str, int]:
        return topic.name, _partition_of(key, topic.partitions(self._settings))


async def outcome(sent: asyncio.Future[int]) -> int:
    """The append time of a record that others may wait for too.

    Raises:
        BrokerUnavailableError: it was not acknowledged in time; it may still be later.
    """
    if not sent.done():
        await asyncio.wait({sent}, timeout=ANSWER_SECONDS)
    if not sent.done():
        raise BrokerUnavailableError(f"Kafka did not acknowledge within {ANSWER_SECONDS:g} s")
    return sent.result()


def overloaded() -> OverloadedError:
    """The error for a full budget."""
    return OverloadedError("as much is waiting for Kafka as may wait: try again in a moment")
