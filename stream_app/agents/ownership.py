"""Which partitions this worker owns, what it knows of each, and telling the others.

A partition is owned from the end of its recovery until the next rebalance begins. What is
kept here is derived: after any crash or move it is read again from the table.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from stream_app.contracts.topics import SOURCE_TOPICS, STORE_STATUS
from stream_app.contracts.watermarks import Watermark
from stream_app.domain.buckets import kind_of
from stream_app.domain.polls import from_bytes, later
from stream_app.errors import TableError
from stream_app.kafka.frontier import Frontier
from stream_app.kafka.progress import HEARTBEAT_SECONDS
from stream_app.tables import STORE_BYTES, bucket_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping

    from stream_app.agents.latest import LatestPolls
    from stream_app.agents.outbox import Outbox
    from stream_app.domain.buckets import Bucket
    from stream_app.kafka.progress import Progress
    from stream_app.tables import FactsTable

log = logging.getLogger(__name__)

WATERMARK_SECONDS: Final = 0.02
"""Watermarks that moved are told after this long: many records share one."""

_SCAN_CHUNK: Final = 5_000


@dataclass(slots=True)
class OwnedPartition:
    """What is known of one owned partition.

    Attributes:
        number: the partition.
        stores: the 16-byte ids of its stores.
        newest_poll: µs of its newest poll; None: no poll.
        kinds: the kinds of buckets that its stores had when it was taken over.
        frontiers: what is applied, by source topic.
        moved: set when `applied` changes.
        lost: set when the partition is no longer owned.
    """

    number: int
    stores: set[bytes] = field(default_factory=set)
    newest_poll: int | None = None
    kinds: set[Bucket] = field(default_factory=set)
    frontiers: dict[str, Frontier] = field(default_factory=dict)
    moved: asyncio.Event = field(default_factory=asyncio.Event)
    lost: asyncio.Event = field(default_factory=asyncio.Event)

    def applied(self, topic: str) -> int:
        """The next offset of a source topic to apply."""
        return self.frontiers[topic].offset

    def begin(self, topic: str, first: int, end: int) -> None:
        """Note that records are in hand: nothing from the first on counts as applied."""
        self.frontiers[topic].begin(first, end)


class Ownership:
    """The owned partitions of this worker.

    Args:
        facts: the table.
        progress: this process's view of all watermarks.
        outbox: where watermarks and store records go.
        latest: told of the newest poll of every store that is taken over.
        fail: called with an error after which this worker must not go on.
    """

    def __init__(
        self,
        facts: FactsTable,
        progress: Progress,
        outbox: Outbox,
        latest: LatestPolls,
        fail: Callable[[BaseException], None],
    ) -> None:
        self._facts = facts
        self._progress = progress
        self._outbox = outbox
        self._latest = latest
        self._fail = fail
        self._owned: dict[int, OwnedPartition] = {}
        self._moved: set[tuple[str, int]] = set()
        self._generation = 0
        self._task: asyncio.Task[None] | None = None

    def get(self, partition: int) -> OwnedPartition | None:
        """The partition if this worker owns it now."""
        return self._owned.get(partition)

    @property
    def generation(self) -> int:
        """Changes whenever a rebalance takes the partitions away."""
        return self._generation

    async def start(self) -> None:
        """Begin to tell the watermarks."""
        self._task = asyncio.create_task(self._tell(), name="watermarks")

    async def stop(self) -> None:
        """Stop telling."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def release(self) -> None:
        """Own nothing any more: a rebalance or the shutdown begins."""
        self._generation += 1
        released, self._owned = self._owned, {}
        for partition in released.values():
            partition.lost.set()
        self._latest.release()
        self._facts.close()

    async def take(self, partitions: set[int], applied: Mapping[tuple[str, int], int]) -> None:
        """Own these partitions, whose tables are recovered, and no others.

        A rebalance does not wait for us: one that begins meanwhile ends this, or a partition
        that belongs to somebody else would be ours for ever.

        Args:
            partitions: their numbers.
            applied: the next offset to apply of each source partition: what is committed.
        """
        self.release()
        generation = self._generation
        self._facts.open(partitions)
        for number in sorted(partitions):
            partition = OwnedPartition(number)
            latest: dict[bytes, int] = {}
            async for _ in self._read_into(partition, latest):
                if generation != self._generation:
                    return
            partition.frontiers = {
                spec.name: Frontier(applied.get((spec.name, number), 0)) for spec in SOURCE_TOPICS
            }
            # A crash may have come between a store's first fact and its registration
            self._outbox.register(partition.stores)
            self._latest.take(number, latest)
            self._owned[number] = partition
            for spec in SOURCE_TOPICS:
                self._advance(partition, spec.name)
        log.info("own partitions %s", ", ".join(map(str, sorted(partitions))) or "none")

    def applied(
        self, partition: OwnedPartition, stores: Iterable[bytes], newest_poll: int | None = None
    ) -> None:
        """Note what is in the table now.

        Args:
            partition: one that is owned.
            stores: those that are named; new ones are registered.
            newest_poll: µs of the newest poll of all.
        """
        new = [store for store in stores if store not in partition.stores]
        if new:
            partition.stores.update(new)
            self._outbox.register(new)
        if newest_poll is not None and newest_poll > (partition.newest_poll or -1):
            partition.newest_poll = newest_poll

    def finish(self, partition: OwnedPartition, topic: str, offset: int) -> None:
        """Note that the records that began at an offset need nothing more here."""
        if self._owned.get(partition.number) is partition:
            partition.frontiers[topic].finish(offset)
            self._advance(partition, topic)

    def idle_offsets(self) -> dict[tuple[str, int], int]:
        """The next offset of every owned source partition of which no record is in hand."""
        return {
            (topic, number): frontier.offset
            for number, partition in self._owned.items()
            for topic, frontier in partition.frontiers.items()
            if frontier.idle
        }

    def skip(self, topic: str, number: int, first: int, end: int) -> None:
        """Go on at `end`, if the partition still stands at `first`: no record is in between."""
        partition = self._owned.get(number)
        if partition is not None and self.idle_offsets().get((topic, number)) == first:
            partition.frontiers[topic].skip_to(end)
            self._advance(partition, topic)

    def _advance(self, partition: OwnedPartition, topic: str) -> None:
        self._progress.advance(self._watermark(partition, topic))
        partition.moved.set()
        self._moved.add((topic, partition.number))

    async def _read_into(
        self, partition: OwnedPartition, latest: dict[bytes, int]
    ) -> AsyncIterator[None]:
        for count, (key, value) in enumerate(self._facts.items(partition.number)):
            store = key[:STORE_BYTES]
            partition.stores.add(store)
            bucket = bucket_of(key)
            if bucket is not None:
                partition.kinds.add(kind_of(bucket))
                poll = from_bytes(value[-8:])[0]
                latest[store] = later(poll, latest.get(store, poll))
                if poll >> 1 > (partition.newest_poll or -1):
                    partition.newest_poll = poll >> 1
            if count % _SCAN_CHUNK == 0:
                await asyncio.sleep(0)
                yield

    async def _tell(self) -> None:
        loop = asyncio.get_running_loop()
        last_heartbeat = float("-inf")
        while True:
            await asyncio.sleep(WATERMARK_SECONDS)
            heartbeat = loop.time() - last_heartbeat >= HEARTBEAT_SECONDS
            if heartbeat:
                last_heartbeat = loop.time()
            try:
                await self._tell_once(heartbeat=heartbeat)
            except TableError as error:
                self._fail(error)
                return
            except Exception:
                # silent for ever, a worker would hold up every report of all stores
                log.exception("cannot tell the watermarks now, trying again")
                last_heartbeat = float("-inf")
                await asyncio.sleep(HEARTBEAT_SECONDS)

    async def _tell_once(self, *, heartbeat: bool) -> None:
        if heartbeat:
            self._facts.persist_offsets()
            told = {(spec.name, p) for spec in SOURCE_TOPICS for p in self._owned}
        else:
            told = self._moved
        self._moved = set()
        watermarks = [
            self._watermark(partition, topic)
            for topic, number in told
            if (partition := self._owned.get(number)) is not None
        ]
        if watermarks:
            await self._outbox.tell(watermarks)

    def _watermark(self, partition: OwnedPartition, topic: str) -> Watermark:
        return Watermark(
            topic,
            partition.number,
            partition.applied(topic),
            partition.newest_poll if topic == STORE_STATUS.name else None,
            self._progress.topic_id(topic),
        )
