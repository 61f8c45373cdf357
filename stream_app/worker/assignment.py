"""Makes this worker the owner of the partitions that the group assigns to it.

Each partition goes through five steps, independently of the others:

1. **claim** it: from then on its changelog takes no record of any earlier owner, and the offset
   of the claim is the exact end of what a restore has to read;
2. **restore** its database from the checkpoint to the claim;
3. **verify** where its sources are read on: the positions in its changelog against the topics;
4. **seek** the consumer there;
5. **own** it: reports are answered and records are applied from then on.

A rebalance takes ownership of everything away, and leaves restores running: they only read what
is final. A partition that stays is claimed again, and goes on at its checkpoint. Attempts are not
counted: only a restore that stands still ends the worker.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from aiokafka import TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError, ProducerFenced
from faust.types import TP

from stream_app.contracts.topics import CONSUMED_TOPICS, REPORT_REQUESTS, SOURCE_TOPICS
from stream_app.contracts.watermarks import RestoreStatus
from stream_app.errors import (
    BrokerUnavailableError,
    RevokedError,
    TableError,
)
from stream_app.kafka.offset_tracker import OffsetTracker
from stream_app.periodic import PeriodicTask
from stream_app.worker.assignor import Copy
from stream_app.worker.facts.keys import CLAIM_KEY, LOST_KEY, POSITION_KEY
from stream_app.worker.facts.partition_records import (
    decode_lost,
    decode_positions,
    encode_positions,
)
from stream_app.worker.facts.table import CHANGELOG
from stream_app.worker.owned_partitions import OwnedPartition
from stream_app.worker.source_positions import source_position, start_offset

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from stream_app.errors import OnFatalError
    from stream_app.kafka.start_offsets import GroupOffsets, GroupOffsetsReader
    from stream_app.worker.commit_tracker import CommitTracker
    from stream_app.worker.facts.restore_service import RestoreService
    from stream_app.worker.facts.table import FactsTable
    from stream_app.worker.gap_skipper import LostInput
    from stream_app.worker.owned_partitions import OwnedPartitions

log = logging.getLogger(__name__)

RECLAIM_SECONDS: Final = 15.0
"""Seconds after which a partition is claimed again that another worker claimed, and that the group
still assigns here: longer than the group needs to notice a member that is gone."""

STATUS_SECONDS: Final = 0.5
"""Seconds between two publications of the progress of restores."""

STREAMS_SECONDS: Final = 60.0
"""Seconds after an assignment within which Faust resumes its streams; later it never does."""

_LAST_POSITIONS_SECONDS: Final = 2.0
"""Seconds that a rebalance waits for the last source positions, which only save reading."""

_RETRY_SECONDS: Final = 0.5
_CONTESTED_SECONDS: Final = 3.0
"""Seconds that a claim which met another one waits for the group to assign the partition."""


class PartitionAssignment:
    """Makes this worker own its assigned partitions, and no longer the revoked ones.

    Args:
        group_offsets: says where the sources may be read on.
        facts: the facts table.
        restores: brings databases up to their claims.
        owned_partitions: knows what is owned.
        commit_tracker: forgets what was in flight before.
        lost_input: reports records that the changelog or a source topic has lost.
    """

    def __init__(
        self,
        group_offsets: GroupOffsetsReader,
        facts: FactsTable,
        restores: RestoreService,
        owned_partitions: OwnedPartitions,
        commit_tracker: CommitTracker,
        lost_input: LostInput,
    ) -> None:
        self._group_offsets = group_offsets
        self._facts = facts
        self._restores = restores
        self._owned_partitions = owned_partitions
        self._commit_tracker = commit_tracker
        self._lost_input = lost_input
        self._consumer: Any = None
        self._on_fatal_error: OnFatalError = _raise
        self._assigned: frozenset[int] = frozenset()
        self._standby: frozenset[int] = frozenset()
        self._owned_before: frozenset[int] = frozenset()
        self._revoked: list[OwnedPartition] = []
        self._logged_owned: frozenset[int] | None = None
        self._steps: dict[int, asyncio.Task[None]] = {}
        self._streams_ready = asyncio.Event()
        self._status_task = PeriodicTask("restore-status", STATUS_SECONDS, self._publish_restores)
        self._offset_reads: set[asyncio.Task[GroupOffsets]] = set()

    def attach(self, consumer: Any, on_fatal_error: OnFatalError) -> None:
        """Use this consumer, and this function for fatal errors, from now on."""
        self._consumer = consumer
        self._on_fatal_error = on_fatal_error

    @property
    def assigned(self) -> frozenset[int]:
        """Return the partitions that the group assigns to this worker now."""
        return self._assigned

    def copies(self) -> dict[int, Copy]:
        """Return this worker's copies of partitions; it is called from the consumer's thread."""
        owned = self._owned_before | self._owned_partitions.owned
        return {
            partition: Copy(offset, owned=partition in owned)
            for partition, offset in self._restores.databases.offsets().items()
        }

    def set_standby(self, partitions: frozenset[int]) -> None:
        """Keep copies of these partitions from the next assignment on."""
        self._standby = partitions

    def revoke_all(self) -> None:
        """Revoke all partitions: a rebalance or the shutdown begins. Restores go on.

        The facts table stays open until `close_all`, for what is in flight.
        """
        # nothing is owned any more where this is called twice before the next assignment
        self._owned_before |= self._owned_partitions.owned
        self._streams_ready.clear()
        self._cancel_steps()
        self._revoked += self._owned_partitions.revoke(self._assigned)
        self._restores.metrics.rebalanced()
        self._restores.metrics.owned(())

    async def on_drained(self) -> None:
        """Write the source positions of the revoked partitions: nothing is in flight any more."""
        revoked, self._revoked = self._revoked, []
        try:
            async with asyncio.timeout(_LAST_POSITIONS_SECONDS):
                for batch in self._owned_partitions.write_positions(revoked):
                    await asyncio.shield(batch.sent)
        except (TimeoutError, KafkaError, RevokedError):
            # some records are only read again
            log.debug("the last source positions are not written")

    def close_all(self) -> None:
        """Close the facts table: its partitions may be somebody else's from here on."""
        self._revoked = []
        for partition in self._assigned:
            self._facts.revoke(partition)

    async def on_assigned(self, assigned: Iterable[TP]) -> None:
        """Start the five steps of every assigned partition; returns before they are done."""
        partitions = frozenset(tp.partition for tp in assigned if tp.topic == REPORT_REQUESTS.name)
        self._cancel_steps()
        self._owned_partitions.revoke(self._assigned)
        self.close_all()
        self._commit_tracker.reset()
        self._assigned = partitions
        self._owned_before = frozenset()
        self._restores.metrics.assigned(partitions)
        log.info("assigned partitions %s", ", ".join(map(str, sorted(partitions))) or "none")
        # with assigned partitions, nothing is logged before some are owned
        self._logged_owned = frozenset() if partitions else None
        self._log_owned()
        standby = self._standby - partitions
        for partition in self._restores.running - partitions - standby:
            await self._restores.stop_restore(partition)
        for partition in sorted(standby):
            await self._restores.follow(partition)
        self._start_steps(partitions)

    def on_streams_ready(self) -> None:
        """Let partitions be fetched from now on: the rebalance is over."""
        self._streams_ready.set()

    def on_interrupted(self, partition: int, fenced: bool) -> None:
        """Revoke a partition that this worker does not write alone, and start its steps again.

        Args:
            partition: one that is owned.
            fenced: whether another worker has claimed it. The group will say whose it is: only if
                it stays is it claimed again. Else a stray record stands in its changelog.
        """
        if self._owned_partitions.get(partition) is None:
            return
        if fenced:
            self._restores.metrics.fenced()
            log.warning(
                "partition %d was claimed by another worker while this one was paused or cut off: "
                "that worker applies the records in flight",
                partition,
            )
        else:
            log.error(
                "somebody else writes to the changelog of partition %d: it is restored again, in "
                "the log's order",
                partition,
            )
        self._owned_partitions.revoke([partition])
        self._facts.revoke(partition)
        self._restores.metrics.owned(self._owned_partitions.owned)
        self._consumer.pause_partition(partition)
        self._start_steps([partition], after=RECLAIM_SECONDS if fenced else 0.0)

    async def stop(self) -> None:
        """Stop all steps."""
        await self._status_task.stop()
        tasks = [*self._steps.values(), *self._offset_reads]
        self._cancel_steps()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._group_offsets.stop()

    async def start(self) -> None:
        """Connect.

        Raises:
            BrokerUnavailableError: no broker answers.
        """
        await self._group_offsets.start()
        self._status_task.start()

    def _log_owned(self) -> None:
        """Log the owned partitions, when they have changed."""
        owned = self._owned_partitions.owned
        if owned != self._logged_owned:
            self._logged_owned = owned
            log.info("own partitions %s", ", ".join(map(str, sorted(owned))) or "none")

    async def _publish_restores(self) -> None:
        self._log_owned()
        for partition in sorted(self._assigned - self._owned_partitions.owned):
            await self._owned_partitions.publish_restore_status(self._restores.status(partition))

    def _start_steps(self, partitions: Collection[int], after: float = 0.0) -> None:
        """Start the steps of partitions, after some seconds."""
        offsets = asyncio.create_task(self._read_offsets(partitions, after), name="group-offsets")
        self._offset_reads.add(offsets)
        offsets.add_done_callback(self._offset_reads.discard)
        for partition in sorted(partitions):
            task = asyncio.create_task(
                self._assign(partition, offsets, after), name=f"assign-{partition}"
            )
            self._steps[partition] = task
            task.add_done_callback(self._on_ended)

    def _cancel_steps(self) -> None:
        steps, self._steps = self._steps, {}
        for task in (*steps.values(), *self._offset_reads):
            task.cancel()

    def _on_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_fatal_error(error)

    async def _assign(
        self, partition: int, offsets: asyncio.Task[GroupOffsets], after: float
    ) -> None:
        await asyncio.sleep(after)
        # a standby that still follows would read the claim itself, and be ahead of it
        await self._restores.stop_restore(partition)
        await self._owned_partitions.publish_restore_status(RestoreStatus(partition, 0, 0))
        claim = await self._claim(partition)
        # with the claim itself: what this worker writes next stands right behind it
        await self._restores.restore(partition, claim + 1)
        try:
            async with asyncio.timeout(STREAMS_SECONDS):
                await self._streams_ready.wait()
        except TimeoutError as error:
            raise TableError(
                f"partition {partition} is restored, and Faust has not resumed its streams within "
                f"{STREAMS_SECONDS:g} s"
            ) from error
        await self._on_restored(partition, claim, await asyncio.shield(offsets))

    async def _claim(self, partition: int) -> int:
        """Shut out every earlier writer of a partition, and return the offset of the claim."""
        while True:
            try:
                await self._facts.producer.claim([partition])
                batch = self._facts.producer.add(partition, CLAIM_KEY, uuid4().bytes)
                return (await asyncio.shield(batch.sent)).first_offset
            except ProducerFenced:
                # two claims at once: the group will say whose it is
                log.info("partition %d was claimed by another worker at the same time", partition)
                await asyncio.sleep(_CONTESTED_SECONDS)
            except BrokerUnavailableError as error:
                log.info("partition %d cannot be claimed now: %s", partition, error)
            await asyncio.sleep(_RETRY_SECONDS)

    async def _read_offsets(self, partitions: Collection[int], after: float) -> GroupOffsets:
        await asyncio.sleep(after)
        while True:
            try:
                return await self._group_offsets.read(partitions)
            except BrokerUnavailableError as error:
                log.info("the group's offsets cannot be read now: %s", error)
            await asyncio.sleep(_RETRY_SECONDS)

    async def _on_restored(self, number: int, claim: int, group: GroupOffsets) -> None:
        database = self._restores.databases.of(number)
        summary = await self._restores.summarize(number)
        known = decode_positions(database.get(POSITION_KEY))
        if any(
            group.ends.get(TopicPartition(topic, number), 0) < position.offset
            for topic, position in known.items()
        ):
            # somebody else applied more records after the ends were asked for
            group = await self._read_offsets([number], after=0)
        positions = {
            spec.name: source_position(
                spec.name, number, known.get(spec.name), group, first_claim=claim == 0
            )
            for spec in SOURCE_TOPICS
        }
        starts = {
            spec.name: start_offset(
                group.committed.get(TopicPartition(spec.name, number)),
                group.beginnings[TopicPartition(spec.name, number)],
                positions.get(spec.name),
            )
            for spec in CONSUMED_TOPICS
        }
        await self._seek_to_positions(number, starts)
        # from here on without a pause: a rebalance cannot come in between
        owned = OwnedPartition(
            number,
            self._facts.open(database, self.on_interrupted),
            stores=summary.stores,
            newest_poll=summary.newest_poll,
            bucket_kinds=summary.bucket_kinds,
            offset_trackers={spec.name: OffsetTracker(starts[spec.name]) for spec in SOURCE_TOPICS},
            positions=positions,
            lost_ranges=decode_lost(database.get(LOST_KEY)),
            removals=summary.removals,
        )
        self._commit_tracker.reset(number)
        if positions != known:
            # known from the beginning on: what the log loses before the first record is lost too
            owned.put(POSITION_KEY, encode_positions(positions))
        self._owned_partitions.adopt(owned, summary.newest_polls, summary.gone_stores)
        self._restores.metrics.owned(self._owned_partitions.owned)
        self._consumer.fetch_partition(number)
        if self._owned_partitions.owned == self._assigned:
            self._log_owned()
        for first, end in self._restores.of(number).pop_lost_ranges():
            await self._lost_input.report(owned, CHANGELOG, first, end)

    async def _seek_to_positions(self, number: int, starts: Mapping[str, int]) -> None:
        """Send the consumer to where each topic of a partition is read on.

        Raises:
            TableError: the consumer does not have the partition, and no rebalance comes.
        """
        try:
            async with asyncio.timeout(STREAMS_SECONDS):
                for topic, offset in starts.items():
                    while True:
                        try:
                            await self._consumer.seek(TP(topic, number), offset)
                        except IllegalStateError:
                            # a rebalance has begun in the consumer's thread, and ends this here
                            await asyncio.sleep(_RETRY_SECONDS)
                        else:
                            break
        except TimeoutError as error:
            raise TableError(f"the consumer does not have partition {number}") from error


def _raise(error: BaseException) -> None:
    raise error
