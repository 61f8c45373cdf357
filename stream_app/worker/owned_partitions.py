"""The partitions that this worker owns, and their watermarks.

A partition is owned from the end of its restore until the next rebalance begins. Everything here is
derived from the facts table: after a crash or a move it is read from there again.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from aiokafka import TopicPartition

from stream_app.contracts.topics import SOURCE_TOPICS, STORE_STATUS
from stream_app.contracts.watermarks import RestoreStatus, Watermark
from stream_app.kafka.applied_offsets import HEARTBEAT_SECONDS
from stream_app.periodic import PeriodicTask
from stream_app.worker.facts.keys import POSITION_KEY
from stream_app.worker.facts.partition_records import encode_positions

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from stream_app.contracts.removal import PollsRemoval
    from stream_app.domain.poll_buckets import Bucket
    from stream_app.kafka.applied_offsets import AppliedOffsets
    from stream_app.kafka.batch_producer import Batch
    from stream_app.kafka.offset_tracker import OffsetTracker
    from stream_app.worker.commit_tracker import CommitTracker
    from stream_app.worker.facts.partition_records import LostRange, SourcePosition
    from stream_app.worker.latest_polls import LatestPollPublisher
    from stream_app.worker.publisher import Publisher

WATERMARK_SECONDS: Final = 0.005
"""Seconds between the acknowledgement of watermarks and the next ones, at the least.

The watermarks of all chunks that are applied meanwhile go together.
"""

POSITION_SECONDS: Final = 1.0
"""Seconds between two writes of source positions to the changelog."""


class PartitionFacts(Protocol):
    """The facts of one partition: `OpenPartition`."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key; None where there is none."""

    def scan_stores(
        self, stores: Iterable[bytes], suffixes: Sequence[bytes]
    ) -> Iterator[tuple[bytes, list[bytes | None]]]:
        """Yield the values of some keys of each store, which are in ascending order."""

    def put(self, key: bytes, value: bytes | None) -> Batch:
        """Write a value; None deletes the key."""

    async def wait_for_capacity(self) -> None:
        """Wait until more may be written."""


@dataclass(slots=True)
class OwnedPartition:
    """One owned partition: its facts, and values that are derived from them.

    Attributes:
        number: the partition.
        facts: its facts, which can be read and written while it is open in this worker.
        stores: the 16-byte ids of its stores.
        newest_poll: µs of its newest poll; None if there is no poll.
        bucket_kinds: the kinds of buckets that its stores had when it was adopted.
        offset_trackers: the applied offsets, by source topic.
        positions: the source positions that its changelog holds.
        lost_ranges: source records that were deleted from the log before they were applied.
        newest_polls: the newest poll of each of its stores in the table, packed.
        removals: the last removal of the polls of each store that had one.
        applied_changed: an event that is set when `applied` changes.
        revoked: an event that is set when the partition is no longer owned.
    """

    number: int
    facts: PartitionFacts
    stores: set[bytes] = field(default_factory=set)
    newest_poll: int | None = None
    bucket_kinds: set[Bucket] = field(default_factory=set)
    offset_trackers: dict[str, OffsetTracker] = field(default_factory=dict)
    positions: dict[str, SourcePosition] = field(default_factory=dict)
    lost_ranges: list[LostRange] = field(default_factory=list)
    newest_polls: Mapping[bytes, int] = field(default_factory=dict)
    removals: dict[bytes, PollsRemoval] = field(default_factory=dict)
    applied_changed: asyncio.Event = field(default_factory=asyncio.Event)
    revoked: asyncio.Event = field(default_factory=asyncio.Event)

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key of the facts table.

        Raises:
            RevokedError: the partition is closed.
            TableError: the database cannot be read.
        """
        return self.facts.get(key)

    def scan_stores(
        self, stores: Iterable[bytes], suffixes: Sequence[bytes]
    ) -> Iterator[tuple[bytes, list[bytes | None]]]:
        """Yield the values of some keys of each store, all as they are at the first one.

        Args:
            stores: the first parts of the keys, in ascending order, read one at a time.
            suffixes: the last parts of the keys of every store, in ascending order.

        Raises:
            RevokedError: the partition is closed.
            TableError: the database cannot be read.
        """
        return self.facts.scan_stores(stores, suffixes)

    def put(self, key: bytes, value: bytes | None) -> Batch:
        """Write a value, visible to `get` at once; None deletes the key.

        Returns:
            the batch of changelog records that it is in.

        Raises:
            RevokedError: the partition is closed.
            ValueError: the value is larger than a changelog record may be.
        """
        return self.facts.put(key, value)

    async def wait_for_capacity(self) -> None:
        """Wait until so little is in flight to the changelog that more may be written."""
        await self.facts.wait_for_capacity()

    def applied(self, topic: str) -> int:
        """Return the next offset of a source topic to apply."""
        return self.offset_trackers[topic].position

    def start(self, topic: str, first: int, end: int) -> None:
        """Start to apply records: nothing from the first on counts as applied."""
        self.offset_trackers[topic].start(first, end)

    def gap_before(self, topic: str, first: int) -> tuple[int, int] | None:
        """Return the offsets between the last started record and this one; None without a gap."""
        expected = self.offset_trackers[topic].next_offset
        return (expected, first) if first > expected else None


class OwnedPartitions:
    """The owned partitions of this worker.

    Args:
        applied_offsets: the applied offsets of all partitions, as this process sees them.
        publisher: sends watermarks and store records.
        latest_polls: publishes the newest poll of every store of an adopted partition.
        commit_tracker: knows up to which source offset everything is in Kafka.
    """

    def __init__(
        self,
        applied_offsets: AppliedOffsets,
        publisher: Publisher,
        latest_polls: LatestPollPublisher,
        commit_tracker: CommitTracker,
    ) -> None:
        self._applied_offsets = applied_offsets
        self._publisher = publisher
        self._latest_polls = latest_polls
        self._commit_tracker = commit_tracker
        self._owned: dict[int, OwnedPartition] = {}
        self._moved: set[TopicPartition] = set()
        self._any_moved = asyncio.Event()
        self._last_heartbeat = self._last_positions = float("-inf")
        self._task = PeriodicTask("watermarks", WATERMARK_SECONDS, self._publish)

    def get(self, partition: int) -> OwnedPartition | None:
        """Return the partition if this worker owns it now."""
        return self._owned.get(partition)

    @property
    def owned(self) -> frozenset[int]:
        """Return the numbers of the partitions that this worker owns now."""
        return frozenset(self._owned)

    async def start(self) -> None:
        """Start to publish watermarks and source positions."""
        self._task.start()

    async def stop(self) -> None:
        """Stop publishing."""
        await self._task.stop()

    def revoke(self, numbers: Iterable[int]) -> list[OwnedPartition]:
        """Own these partitions no longer: no record of them is applied, no report reads them.

        Returns:
            those that were owned until now.
        """
        revoked = []
        for number in list(numbers):
            self._latest_polls.revoke(number)
            partition = self._owned.pop(number, None)
            if partition is not None:
                partition.revoked.set()
                revoked.append(partition)
        return revoked

    def adopt(
        self,
        partition: OwnedPartition,
        newest_polls: dict[bytes, int],
        gone_stores: Collection[bytes] = (),
    ) -> None:
        """Own a partition, which is restored and open in the facts table.

        Args:
            partition: the partition, with its offset_trackers at the offsets that are read next.
            newest_polls: the newest poll of each of its stores, packed.
            gone_stores: the stores that have no fact any more.
        """
        # A crash may have come between a store's first fact and its registration, or between the
        # removal of the last one and the end of its registration
        self._publisher.register_stores(partition.stores)
        self._publisher.unregister_stores(gone_stores)
        # the same dictionary: polls that are recorded there are known here
        partition.newest_polls = newest_polls
        self._latest_polls.adopt(partition.number, newest_polls)
        self._latest_polls.remove(
            partition.number, [store for store in partition.removals if store not in newest_polls]
        )
        self._owned[partition.number] = partition
        for topic in partition.offset_trackers:
            self._advance(partition, topic)

    async def publish_restore_status(self, status: RestoreStatus) -> None:
        """Publish the progress of the restore of a partition that is not owned yet."""
        await self._publisher.publish_restore_status(status)

    def record_applied(
        self, partition: OwnedPartition, stores: Iterable[bytes], newest_poll: int | None = None
    ) -> None:
        """Record changes that are in the table now.

        Args:
            partition: one that is owned.
            stores: the stores that were named; new ones are registered.
            newest_poll: µs of the newest poll of all.
        """
        new = [store for store in stores if store not in partition.stores]
        if new:
            partition.stores.update(new)
            self._publisher.register_stores(new)
        if newest_poll is not None and newest_poll > (partition.newest_poll or -1):
            partition.newest_poll = newest_poll

    def record_removed(self, partition: OwnedPartition, stores: Collection[bytes]) -> None:
        """Record the stores that have no fact any more."""
        if stores:
            partition.stores.difference_update(stores)
            self._publisher.unregister_stores(stores)

    def store_count(self) -> int:
        """Return the number of stores; those of other workers as far as they are known now."""
        here = sum(len(partition.stores) for partition in self._owned.values())
        return here + self._applied_offsets.stores_elsewhere(self._owned)

    def complete(self, partition: OwnedPartition, topic: str, offset: int) -> None:
        """Complete the records that were started at an offset."""
        if self._owned.get(partition.number) is partition:
            partition.offset_trackers[topic].complete(offset)
            self._advance(partition, topic)

    def idle_offsets(self) -> dict[TopicPartition, int]:
        """Return the next offset of every owned source partition that has no record in flight."""
        return {
            TopicPartition(topic, number): offset_tracker.position
            for number, partition in self._owned.items()
            for topic, offset_tracker in partition.offset_trackers.items()
            if offset_tracker.idle
        }

    def skip_gap(self, partition: TopicPartition, first: int, end: int) -> None:
        """Go on at `end`, if the partition still stands at `first`: no record is in between."""
        owned = self._owned.get(partition.partition)
        if owned is not None and self.idle_offsets().get(partition) == first:
            owned.offset_trackers[partition.topic].skip_to(end)
            self._advance(owned, partition.topic)

    def _advance(self, partition: OwnedPartition, topic: str) -> None:
        self._applied_offsets.advance(self._watermark(partition, topic))
        partition.applied_changed.set()
        self._moved.add(TopicPartition(topic, partition.number))
        self._any_moved.set()

    async def _publish(self) -> None:
        """Publish the watermarks once one has moved, or all of them when a heartbeat is due.

        It returns when the broker holds them, so that no further ones pile up behind them.
        """
        await self._wait_for_work()
        now = asyncio.get_running_loop().time()
        last_heartbeat, self._last_heartbeat = self._last_heartbeat, float("-inf")
        heartbeat = now - last_heartbeat >= HEARTBEAT_SECONDS
        if now - self._last_positions >= POSITION_SECONDS:
            self._last_positions = now
            self.write_positions(self._owned.values())
        await self._publish_watermarks(heartbeat=heartbeat)
        # if this step fails, a heartbeat is due: it publishes the watermarks of this step too
        self._last_heartbeat = now if heartbeat else last_heartbeat

    async def _wait_for_work(self) -> None:
        """Wait until a watermark has moved, or a heartbeat or a write of positions is due."""
        due = min(self._last_heartbeat + HEARTBEAT_SECONDS, self._last_positions + POSITION_SECONDS)
        with suppress(TimeoutError):
            async with asyncio.timeout_at(due):
                await self._any_moved.wait()

    def write_positions(self, partitions: Iterable[OwnedPartition]) -> list[Batch]:
        """Write how far the sources are in the changelog, behind the facts that they led to.

        The group's committed offsets may expire, or be set by hand. These cannot: the next owner
        of the partition reads on from here, whatever the group says.

        Returns:
            the batches that were written to; none if no position has changed.
        """
        batches = []
        for partition in partitions:
            positions = dict(partition.positions)
            for topic, known in partition.positions.items():
                offset = self._commit_tracker.offset(TopicPartition(topic, partition.number))
                if offset is not None and offset > known.offset:
                    positions[topic] = known._replace(offset=offset)
            if positions != partition.positions:
                partition.positions = positions
                value = encode_positions(positions)
                batches.append(partition.put(POSITION_KEY, value))
        return batches

    async def _publish_watermarks(self, *, heartbeat: bool) -> None:
        partitions = (
            {TopicPartition(spec.name, number) for spec in SOURCE_TOPICS for number in self._owned}
            if heartbeat
            else self._moved
        )
        self._moved = set()
        self._any_moved.clear()
        watermarks = [
            self._watermark(partition, topic)
            for topic, number in partitions
            if (partition := self._owned.get(number)) is not None
        ]
        if watermarks:
            await self._publisher.publish_watermarks(watermarks)

    def _watermark(self, partition: OwnedPartition, topic: str) -> Watermark:
        return Watermark(
            topic,
            partition.number,
            partition.applied(topic),
            partition.newest_poll if topic == STORE_STATUS.name else None,
            self._applied_offsets.topic_id(topic),
            len(partition.stores) if topic == STORE_STATUS.name else 0,
        )
