"""Polls, business hours and time zones into the table.

Records come in runs: those of one partition that were fetched together, as one event. What a
store has in a run is written once, so a backlog costs fewer writes than records.

An event is acknowledged when everything that it led to is in Kafka: its changelog records,
its dead letters, or a record itself on the right partition. What cannot be used becomes a dead
letter with a reason; what cannot be written (a full disk, a broken database) ends the
worker with the event unacknowledged, so that it is applied again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

from aiokafka import TopicPartition
from aiokafka.errors import MessageSizeTooLargeError

from stream_app.contracts.business_hours import decode_hours
from stream_app.contracts.partitioning import partition_of
from stream_app.contracts.polls import decode_packed_polls, split_ill_dated
from stream_app.contracts.removal import PollsRemoval, removal_in, taken_back_in
from stream_app.contracts.revisions import (
    ORIGIN_HEADER,
    Revision,
    encode_origin,
    forwarded_key,
    origin_of,
)
from stream_app.contracts.stores import decode_zone
from stream_app.contracts.topics import STORE_STATUS
from stream_app.domain.poll_buckets import BucketLayout
from stream_app.domain.polls import later, newest, packed_set, to_bytes, without
from stream_app.domain.timestamps import format_instant
from stream_app.domain.timezones import unknown_name
from stream_app.durations import format_duration
from stream_app.errors import RecordError, RevokedError, TableError
from stream_app.kafka.safe_records import UnreadableRecords
from stream_app.worker.agents.acknowledge import acknowledge_when_done
from stream_app.worker.agents.messages import dead_letter_of, letter_of
from stream_app.worker.commit_tracker import first_offset
from stream_app.worker.facts.keys import (
    HOURS_TAG,
    REMOVED_TAG,
    ZONE_TAG,
    bucket_key,
    bucket_reader,
    decode_fact,
    encode_fact,
    encode_polls_removal,
    encode_taken_back,
    store_key,
)
from stream_app.worker.late_poll_log import LatePollLog

if TYPE_CHECKING:
    from array import array
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator

    from stream_app.contracts.revisions import RecordOrigin
    from stream_app.kafka.batch_producer import Batch
    from stream_app.metrics import WorkerMetrics
    from stream_app.settings import Settings
    from stream_app.worker.commit_tracker import CommitTracker, InFlightEvent
    from stream_app.worker.gap_skipper import GapSkipper
    from stream_app.worker.latest_polls import LatestPollPublisher
    from stream_app.worker.owned_partitions import OwnedPartition, OwnedPartitions
    from stream_app.worker.publisher import Publisher

log = logging.getLogger(__name__)


_Gathered = list[tuple[Any, list[int]]]
"""Records of one store in a run, each with its packed polls."""


@dataclass(frozen=True, slots=True)
class _Misplaced:
    """A record whose store another partition owns.

    Attributes:
        record: as it was read.
        store_id: the store.
        partition: the partition that owns the store.
        origin: what the record carries along, so that it replaces nothing newer, and comes back
            from no removal.
    """

    record: Any
    store_id: str
    partition: int
    origin: RecordOrigin


@dataclass(slots=True)
class ChunkResult:
    """What came of the records of one event.

    Attributes:
        owned: the partition.
        batches: the changelog records that were written.
        stores: the stores that are named.
        newest_poll: µs of the newest poll; None: no poll.
        latest: of each store the newest poll, packed.
        removed: the stores whose polls were taken back.
        taken_back: the stores of which anything was.
        gone: those of them of which nothing stands now.
        room: how many new stores there is room for; None: none came yet.
        let_in: the new stores that have their place.
        refused: records with the reason why they, or a part of them, were refused.
        late: records of polls that are older than is kept, with the reason and their number.
        expired: polls that are no longer kept, because much newer ones came.
        elsewhere: records whose store another partition owns.
    """

    owned: OwnedPartition
    batches: dict[Batch, None] = field(default_factory=dict)
    stores: set[bytes] = field(default_factory=set)
    newest_poll: int | None = None
    latest: dict[bytes, int] = field(default_factory=dict)
    removed: set[bytes] = field(default_factory=set)
    taken_back: set[bytes] = field(default_factory=set)
    gone: set[bytes] = field(default_factory=set)
    room: int | None = None
    let_in: set[bytes] = field(default_factory=set)
    refused: list[tuple[Any, str]] = field(default_factory=list)
    late: list[tuple[Any, str, int]] = field(default_factory=list)
    expired: int = 0
    elsewhere: list[_Misplaced] = field(default_factory=list)


class Ingest:
    """The three agents that fill the table.

    Args:
        settings: retention, tolerance, partitions.
        owned_partitions: told of all that is applied.
        publisher: for what is refused or passed on.
        latest: told of the newest poll of every store.
        commit_tracker: where events are taken.
        gaps: checks that no record is missed before one is applied.
        seek: sends the consumer of a topic's partition to an offset.
        fail: called with an error after which this worker must not go on.
        metrics: counts polls that are not kept.
    """

    def __init__(
        self,
        settings: Settings,
        owned_partitions: OwnedPartitions,
        publisher: Publisher,
        latest: LatestPollPublisher,
        commit_tracker: CommitTracker,
        gaps: GapSkipper,
        seek: Callable[[str, int, int], Awaitable[None]],
        fail: Callable[[BaseException], None],
        metrics: WorkerMetrics,
    ) -> None:
        self._metrics = metrics
        self._late_log = LatePollLog()
        self._gaps = gaps
        self._seek = seek
        self._settings = settings
        self._layout = BucketLayout(settings.retention)
        self._owned_partitions = owned_partitions
        self._publisher = publisher
        self._latest = latest
        self._commit_tracker = commit_tracker
        self._fail = fail
        self._in_flight: set[asyncio.Task[None]] = set()
        self._turns: defaultdict[TopicPartition, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def polls(self, stream: Any) -> None:
        """The agent of `store-status`."""
        await self._each(stream, self._apply_polls)

    async def business_hours(self, stream: Any) -> None:
        """The agent of `store-business-hours`."""
        await self._each(
            stream, lambda records, run: self._apply_each(records, run, HOURS_TAG, _hours)
        )

    async def timezones(self, stream: Any) -> None:
        """The agent of `store-timezones`."""
        await self._each(
            stream, lambda records, run: self._apply_each(records, run, ZONE_TAG, _zone)
        )

    async def _each(self, stream: Any, apply: Callable[[Iterable[Any], ChunkResult], None]) -> None:
        # acknowledged here, not when the loop comes round: see the module's docstring
        stream.enable_acks = False
        events: AsyncIterator[Any] = stream.events()
        async for event in events:
            partition = event.message.partition
            owned = self._owned_partitions.get(partition)
            if owned is None:
                # nothing of the table is known here: it comes again to whoever owns it next
                event.ack()
                continue
            await owned.wait_for_capacity()
            first = first_offset(event.message)
            missed = await self._gaps.find_missed_record(owned, event.message.topic, first)
            if missed is not None:
                log.warning(
                    "%s/%d: offset %d was not handed out: reading on from there",
                    event.message.topic,
                    partition,
                    missed,
                )
                await self._seek(event.message.topic, partition, missed)
                event.ack()
                continue
            if self._owned_partitions.get(partition) is not owned:
                event.ack()
                continue
            taken = self._commit_tracker.track(event)
            try:
                futures = await self._apply(taken, owned, apply)
            except RevokedError:
                taken.abandon()
                continue
            except Exception as error:  # noqa: BLE001  the worker ends with it
                self._fail(error)
                return
            acknowledge_when_done(taken, futures, self._fail)

    async def _apply(
        self,
        taken: InFlightEvent,
        owned: OwnedPartition,
        apply: Callable[[Iterable[Any], ChunkResult], None],
    ) -> list[asyncio.Future[Any]]:
        topic = taken.message.topic
        owned.start(topic, taken.first, taken.end)
        run = ChunkResult(owned)
        apply(_readable(taken.message.records, run), run)
        run.gone = {store for store in run.taken_back if not self._stands(owned, store)}
        # what is applied is visible from here on, before anything is waited for
        removed = self._latest.remove(owned.number, run.removed)
        self._latest.record_polls(owned.number, run.latest)
        if removed is not None and removed >= (owned.newest_poll or 0):
            owned.newest_poll = self._latest.newest(owned.number)
        self._owned_partitions.record_applied(owned, run.stores - run.gone, run.newest_poll)
        self._owned_partitions.record_removed(owned, run.gone)
        futures: list[asyncio.Future[Any]] = [batch.sent for batch in run.batches]
        for record, reason in run.refused:
            futures.append(
                await self._publisher.publish_dead_letter(dead_letter_of(record, reason))
            )
        futures += await self._refuse_late(run)
        if not run.elsewhere:
            self._owned_partitions.complete(owned, topic, taken.first)
            return futures
        task = asyncio.create_task(self._forward_in_order(run.elsewhere, owned, taken))
        self._in_flight.add(task)
        task.add_done_callback(self._in_flight.discard)
        return [*futures, task]

    async def _refuse_late(self, run: ChunkResult) -> list[asyncio.Future[Any]]:
        """Keep the records whose polls came too late to be kept; a line a minute tells of them."""
        if run.expired:
            self._metrics.polls_dropped("expired", run.expired)
        if not run.late:
            return []
        self._metrics.polls_dropped("late", sum(count for _, _, count in run.late))
        self._late_log.warn(run.late)
        return [
            await self._publisher.publish_dead_letter(letter_of(record, reason))
            for record, reason, _ in run.late
        ]

    async def _forward_in_order(
        self, elsewhere: list[_Misplaced], owned: OwnedPartition, taken: InFlightEvent
    ) -> None:
        """Send records to the partitions that own their stores; many are on their way at once."""
        sent = []
        refused = []
        # in the order in which they came: what follows a removal must not come before it
        async with self._turns[TopicPartition(taken.message.topic, owned.number)]:
            for misplaced in elsewhere:
                try:
                    passed = await self._forward_one(misplaced)
                except MessageSizeTooLargeError:
                    refused.append(misplaced)
                else:
                    sent.append((misplaced, passed))
        for misplaced, passed in sent:
            try:
                await asyncio.shield(passed)
            except MessageSizeTooLargeError:
                # it came compressed, or without a key
                refused.append(misplaced)
        for misplaced in refused:
            reason = (
                f"too large to pass on: {misplaced.store_id} belongs to partition "
                f"{misplaced.partition}"
            )
            letter = dead_letter_of(misplaced.record, reason)
            await asyncio.shield(await self._publisher.publish_dead_letter(letter))
        # only now: who waits for this partition finds it below the other one's highwater
        self._owned_partitions.complete(owned, taken.message.topic, taken.first)

    async def _forward_one(self, misplaced: _Misplaced) -> asyncio.Future[Any]:
        record, origin = misplaced.record, misplaced.origin
        key = misplaced.store_id
        if record.topic != STORE_STATUS.name:
            key = forwarded_key(misplaced.store_id, origin)
        headers = [(ORIGIN_HEADER, encode_origin(origin))]
        return await self._publisher.forward(
            record.topic, misplaced.partition, key, record.value, headers
        )

    def _put(self, run: ChunkResult, key: bytes, value: bytes | None) -> None:
        run.batches[run.owned.put(key, value)] = None

    def _belongs_elsewhere(
        self, record: Any, store_id: str, store: bytes, run: ChunkResult
    ) -> bool:
        # a partition has had facts of its own stores only, ever since there were workers
        if store in run.owned.stores or store in run.stores:
            return False
        right = partition_of(store_id.encode(), self._settings.partitions)
        if right == run.owned.number:
            return False
        run.elsewhere.append(_Misplaced(record, store_id, right, origin_of(record)))
        return True

    def _exceeds_max_stores(
        self, record: Any, store_id: str, store: bytes, run: ChunkResult
    ) -> bool:
        """Refuse a record whose store is new where there are too many."""
        if store in run.owned.stores or store in run.let_in:
            return False
        if run.room is None:
            run.room = most_stores(self._settings) - self._owned_partitions.store_count()
        if run.room > 0:
            run.room -= 1
            run.let_in.add(store)
            return False
        reason = (
            f"store {store_id} is new, and there are as many as STORE_UPTIME_MAX_STORES="
            f"{self._settings.max_stores} allows"
        )
        run.refused.append((record, reason))
        return True

    def _stands(self, owned: OwnedPartition, store: bytes) -> bool:
        """Whether anything that is known of a store has not been taken back."""
        return any(
            decode_fact(owned.get(store + tag))[1] is not None for tag in (HOURS_TAG, ZONE_TAG)
        ) or any(self._poll_keys(owned, store))

    def _poll_keys(self, owned: OwnedPartition, store: bytes) -> Iterator[bytes]:
        """The keys under which a store has polls."""
        for bucket in self._layout.all_buckets(owned.bucket_kinds):
            key = bucket_key(store, bucket)
            if owned.get(key):
                yield key

    def _apply_each(
        self,
        records: Iterable[Any],
        run: ChunkResult,
        tag: bytes,
        fact_of: Callable[[bytes | None], tuple[str, bytes]],
    ) -> None:
        """Facts of which a store's newest record counts, one record after the other."""
        for record in records:
            content = None
            try:
                store_id = taken_back_in(record)
                if store_id is None:
                    store_id, content = fact_of(record.value)
            except Exception as error:  # noqa: BLE001  kept as a dead letter
                run.refused.append((record, _reason(record, error)))
                continue
            store = store_key(store_id)
            if self._belongs_elsewhere(record, store_id, store, run):
                continue
            current, there = decode_fact(run.owned.get(store + tag))
            revision = Revision.of(record).superseding(current)
            if revision is None:
                continue
            # written also where the content is the same, and where there was nothing to take back:
            # what is older must find it
            if content is not None and self._exceeds_max_stores(record, store_id, store, run):
                continue
            if content is None:
                run.taken_back.add(store)
                self._put(run, store + tag, encode_taken_back(revision))
            else:
                run.stores.add(store)
                self._put(run, store + tag, encode_fact(revision, content))
                # once for each name: at a new start the record is not applied again
                if tag == ZONE_TAG and content != there:
                    self._warn_of_zone(store_id, content.decode())

    def _warn_of_zone(self, store_id: str, name: str) -> None:
        if unknown_name(name) is not None:
            log.warning(
                "store %s: %r is not an IANA time zone: the default one, %s, applies",
                store_id,
                name,
                self._settings.default_timezone,
            )

    def _apply_polls(self, records: Iterable[Any], run: ChunkResult) -> None:
        stores: dict[str, _Gathered] = {}
        for record in records:
            try:
                removed = removal_in(record.value)
                if removed is not None:
                    self._remove_polls(removed, record, run, stores)
                    continue
                told, refused = decode_packed_polls(record.value)
                polls, ill_dated = self._split_ill_dated(told.polls, record)
                refused += ill_dated
            except Exception as error:  # noqa: BLE001  kept as a dead letter
                run.refused.append((record, _reason(record, error)))
                continue
            store = store_key(told.store_id)
            if self._belongs_elsewhere(record, told.store_id, store, run):
                continue
            removal = run.owned.removals.get(store)
            if removal is not None and removal.hides(record, _topic_id(run.owned)):
                continue
            if refused:
                reason = "; ".join(refused[:20])
                if polls:
                    reason = f"{len(refused)} polls refused: {reason}"
                run.refused.append((record, reason))
            if polls and not self._exceeds_max_stores(record, told.store_id, store, run):
                stores.setdefault(told.store_id, []).append((record, polls))
        for store_id, gathered in stores.items():
            self._apply_store(store_id, gathered, run)

    def _remove_polls(
        self, store_id: str, record: Any, run: ChunkResult, gathered: dict[str, _Gathered]
    ) -> None:
        """Take back all polls of a store that came before a record."""
        store, owned = store_key(store_id), run.owned
        if self._belongs_elsewhere(record, store_id, store, run):
            return
        known = owned.removals.get(store)
        revision = Revision.of(record).superseding(None if known is None else known.revision)
        if revision is None:
            return
        gathered.pop(store_id, None)
        for key in list(self._poll_keys(owned, store)):
            self._put(run, key, None)
        # last: where a crash comes in between, the record is applied again
        removal = PollsRemoval(revision, record.timestamp, _topic_id(owned))
        self._put(run, store + REMOVED_TAG, encode_polls_removal(removal))
        owned.removals[store] = removal
        run.removed.add(store)
        run.taken_back.add(store)

    def _split_ill_dated(self, polls: list[int], record: Any) -> tuple[list[int], list[str]]:
        # the broker's time of the record, so that a replay refuses what was refused before
        taken = record.timestamp * 1000
        tolerance, earliest = self._settings.future_tolerance, self._settings.earliest_poll
        if not polls or (min(polls) >> 1 >= earliest and max(polls) >> 1 <= taken + tolerance):
            # nearly always: without a call for each poll
            return polls, []
        pairs = [(poll >> 1, bool(poll & 1)) for poll in polls]
        good, reasons = split_ill_dated(pairs, taken, tolerance, earliest)
        return [instant << 1 | active for instant, active in good], reasons

    def _apply_store(self, store_id: str, gathered: _Gathered, run: ChunkResult) -> None:
        store = store_key(store_id)
        try:
            read = bucket_reader(run.owned, store)
            polls = packed_set(chain.from_iterable(polls for _, polls in gathered))
            late_records: list[tuple[Any, str, int]] = []
            newest_poll = self._newest(store, polls, run)
            if newest_poll - (polls[0] >> 1) > self._settings.retention:
                late = self._layout.late(polls, read)
                late_records = list(self._late_records(gathered, late, newest_poll))
                polls = without(polls, late)
            writes = self._layout.writes(polls, read) if polls else []
        except (RevokedError, TableError):
            # nothing is wrong with the records
            raise
        except Exception as error:  # noqa: BLE001  kept as a dead letter
            if len(gathered) == 1:
                ((record, _),) = gathered
                run.refused.append((record, _reason(record, error)))
                return
            # one of them is to blame, and refuses no other
            for one in gathered:
                self._apply_store(store_id, [one], run)
            return
        run.late += late_records
        for write in writes:
            self._put(run, bucket_key(store, write.bucket), to_bytes(write.polls))
            run.expired += write.expired
        if not polls:
            return
        run.stores.add(store)
        run.newest_poll = max(run.newest_poll or 0, newest(polls))
        run.latest[store] = later(polls[-1], run.latest.get(store, polls[-1]))

    def _newest(self, store: bytes, polls: array[int], run: ChunkResult) -> int:
        """The instant of the newest poll that is known of a store, with these."""
        known = None
        if store not in run.removed:
            known = self._latest.newest_of(run.owned.number, store)
        return max(polls[-1], known or 0, run.latest.get(store, 0)) >> 1

    def _late_records(
        self, gathered: _Gathered, late: array[int], newest_poll: int
    ) -> Iterator[tuple[Any, str, int]]:
        """The records that hold late polls, why these are refused, and how many they are."""
        instants = {poll >> 1 for poll in late}
        for record, packed in gathered:
            found = sorted(poll >> 1 for poll in packed if poll >> 1 in instants)
            if found:
                polls = format_instant(found[0])
                if len(found) > 1:
                    polls = f"{len(found)} polls refused: {polls} to {format_instant(found[-1])}"
                reason = (
                    f"{polls}: older than STORE_UPTIME_RETENTION "
                    f"({format_duration(self._settings.retention)}) before the store's newest "
                    f"poll, {format_instant(newest_poll)}"
                )
                yield record, reason, len(found)


def most_stores(settings: Settings) -> int:
    """The stores that workers let in: what the API let in must not be refused behind its 202.

    Several API processes, which do not know of each other's newest stores, may let in a few more
    than there is room for.
    """
    return settings.max_stores + settings.max_stores // 100


def _hours(value: bytes | None) -> tuple[str, bytes]:
    record = decode_hours(value)
    return record.store_id, record.hours.encode()


def _zone(value: bytes | None) -> tuple[str, bytes]:
    told = decode_zone(value)
    return told.store_id, told.timezone.encode()


def _readable(records: Iterable[Any], run: ChunkResult) -> Iterator[Any]:
    """The records that can be read; the others are refused."""
    for record in records:
        if isinstance(record, UnreadableRecords):
            run.refused.append((record, record.reason))
        else:
            yield record


def _reason(record: Any, error: Exception) -> str:
    """Why a record is refused; what nobody thought of is told in the log too."""
    if isinstance(error, RecordError):
        return str(error)
    log.error("%s/%d/%d", record.topic, record.partition, record.offset, exc_info=error)
    return f"internal error: {error!r}"


def _topic_id(owned: OwnedPartition) -> str:
    """The id of `store-status`; empty: not known."""
    position = owned.positions.get(STORE_STATUS.name)
    return "" if position is None else position.topic_id
