"""Applies the records of a chunk to the facts of their partition.

A store's polls of a chunk are written once, so a backlog costs fewer writes than records. A
record that cannot be used is rejected with a reason; a failed write raises an error.
"""

from __future__ import annotations

import logging
from array import array
from typing import TYPE_CHECKING, Any, Final

from stream_app.contracts.business_hours import decode_hours
from stream_app.contracts.partitioning import partition_of
from stream_app.contracts.polls import decode_packed_polls, split_ill_dated
from stream_app.contracts.removal import (
    PollsRemoval,
    decode_polls_removal,
    may_remove_polls,
    tombstone_store,
)
from stream_app.contracts.revisions import Revision, origin_of
from stream_app.contracts.stores import decode_timezone
from stream_app.contracts.topics import STORE_STATUS
from stream_app.domain.poll_buckets import BucketLayout
from stream_app.domain.polls import later, newest, to_bytes, without
from stream_app.domain.timestamps import format_instant
from stream_app.domain.timezones import unknown_timezone_name
from stream_app.durations import format_duration
from stream_app.errors import RecordError, RevokedError, TableError
from stream_app.kafka.safe_records import UnreadableRecords
from stream_app.worker.agents.chunk_result import ChunkResult, MisplacedRecord
from stream_app.worker.agents.store_polls import (
    PollsOfRecords,
    StorePolls,
    polls_of_columns,
    polls_of_records,
)
from stream_app.worker.facts.keys import (
    HOURS_TAG,
    REMOVED_TAG,
    TIMEZONE_TAG,
    bucket_key,
    bucket_reader,
    decode_fact,
    encode_fact,
    encode_polls_removal,
    encode_removed,
    store_key,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from stream_app.settings import Settings
    from stream_app.worker.latest_polls import LatestPollPublisher
    from stream_app.worker.owned_partitions import OwnedPartition, OwnedPartitions

log = logging.getLogger(__name__)

MIN_TOGETHER_RECORDS: Final = 64
"""Records of a chunk from which on it pays to decode them together: that costs some 30 records."""


class ChunkWriter:
    """Writes what the records of a chunk say into the facts of their partition.

    Args:
        settings: retention, tolerance, partitions and the most stores.
        owned_partitions: knows how many stores there are.
        latest_polls: knows the newest poll of each store.
    """

    def __init__(
        self,
        settings: Settings,
        owned_partitions: OwnedPartitions,
        latest_polls: LatestPollPublisher,
    ) -> None:
        self._settings = settings
        self._layout = BucketLayout(settings.retention)
        self._owned_partitions = owned_partitions
        self._latest_polls = latest_polls

    def apply_polls(self, records: Sequence[Any], result: ChunkResult) -> None:
        """Apply records of `store-status`.

        Raises:
            RevokedError: the partition is closed.
            TableError: the database cannot be read.
        """
        together, one_by_one = self._decode_together(records, result)
        stores: dict[str, PollsOfRecords] = {}
        for record in _readable(one_by_one, result):
            try:
                removed = decode_polls_removal(record.value)
                if removed is not None:
                    self._remove_polls(removed, record, result, stores)
                    continue
                batch, rejected = decode_packed_polls(record.value)
                polls, ill_dated = self._split_ill_dated(batch.polls, record)
                rejected += ill_dated
            except Exception as error:  # noqa: BLE001  it becomes a dead letter
                result.rejected.append((record, _reason(record, error)))
                continue
            store = store_key(batch.store_id)
            if self._belongs_elsewhere(record, batch.store_id, store, result):
                continue
            removal = result.owned.removals.get(store)
            if removal is not None and removal.hides(record, _topic_id(result.owned)):
                continue
            if rejected:
                reason = "; ".join(rejected[:20])
                if polls:
                    reason = f"{len(rejected)} polls rejected: {reason}"
                result.rejected.append((record, reason))
            if polls and not self._exceeds_max_stores(record, batch.store_id, store, result):
                stores.setdefault(batch.store_id, []).append((record, polls))
        for polls_of_store in together:
            if polls_of_store.store_id in stores:
                stores[polls_of_store.store_id] += polls_of_store.by_record()
            else:
                self._apply_store(polls_of_store, result)
        for store_id, decoded in stores.items():
            self._apply_store(polls_of_records(store_id, decoded), result)

    def _decode_together(
        self, records: Sequence[Any], result: ChunkResult
    ) -> tuple[list[StorePolls], Sequence[Any]]:
        """Decode together the records that have nothing special.

        Returns:
            polls that are good in every respect, by store, and the records that are left.
        """
        if len(records) < MIN_TOGETHER_RECORDS:
            return [], records
        owned, settings = result.owned, self._settings
        # where there may be too many stores, the order decides which one is too many
        takes_new = self._new_store_capacity(result) >= len(records)

        def is_well_dated(instants: Any, append_times: Any) -> Any:
            latest = append_times * 1000 + settings.future_tolerance
            return (instants >= settings.earliest_poll) & (instants <= latest)

        def accepts(store_id: str) -> bool:
            store = store_key(store_id)
            if store in owned.removals:
                return False
            if store in owned.stores:
                return True
            if not takes_new or self._partition_of(store_id) != owned.number:
                return False
            result.accepted_stores.add(store)
            return True

        together, left = polls_of_columns(records, is_well_dated, accepts)
        one_by_one = [records[index] for index in left]
        if any(may_remove_polls(record.value) for record in one_by_one):
            # the order decides which polls come before a removal
            return [], records
        return together, one_by_one

    def apply_hours(self, records: Sequence[Any], result: ChunkResult) -> None:
        """Apply records of `store-business-hours`; it raises what `apply_polls` raises."""
        self._apply_each(records, result, HOURS_TAG, _hours)

    def apply_timezones(self, records: Sequence[Any], result: ChunkResult) -> None:
        """Apply records of `store-timezones`; it raises what `apply_polls` raises."""
        self._apply_each(records, result, TIMEZONE_TAG, _timezone)

    def _belongs_elsewhere(
        self, record: Any, store_id: str, store: bytes, result: ChunkResult
    ) -> bool:
        # a partition has had facts of its own stores only, ever since there were workers
        if store in result.owned.stores or store in result.stores:
            return False
        right = self._partition_of(store_id)
        if right == result.owned.number:
            return False
        result.misplaced_records.append(MisplacedRecord(record, store_id, right, origin_of(record)))
        return True

    def _exceeds_max_stores(
        self, record: Any, store_id: str, store: bytes, result: ChunkResult
    ) -> bool:
        """Reject a record whose store is new where there are too many stores."""
        if store in result.owned.stores or store in result.accepted_stores:
            return False
        if self._new_store_capacity(result) > 0:
            result.accepted_stores.add(store)
            return False
        reason = (
            f"store {store_id} is new, and there are as many as STORE_UPTIME_MAX_STORES="
            f"{self._settings.max_stores} allows"
        )
        result.rejected.append((record, reason))
        return True

    def _new_store_capacity(self, result: ChunkResult) -> int:
        """Return how many more new stores may come."""
        if result.new_store_capacity is None:
            stores = self._owned_partitions.store_count()
            result.new_store_capacity = max_accepted_stores(self._settings) - stores
        return result.new_store_capacity - len(result.accepted_stores)

    def _partition_of(self, store_id: str) -> int:
        return partition_of(store_id.encode(), self._settings.partitions)

    def has_facts(self, owned: OwnedPartition, store: bytes) -> bool:
        """Return True if the store has any poll, hours or a timezone."""
        return any(
            decode_fact(owned.get(store + tag))[1] is not None for tag in (HOURS_TAG, TIMEZONE_TAG)
        ) or any(self._poll_keys(owned, store))

    def _poll_keys(self, owned: OwnedPartition, store: bytes) -> Iterator[bytes]:
        """Yield the keys under which a store has polls."""
        for bucket in self._layout.all_buckets(owned.bucket_kinds):
            key = bucket_key(store, bucket)
            if owned.get(key):
                yield key

    def _apply_each(
        self,
        records: Sequence[Any],
        result: ChunkResult,
        tag: bytes,
        fact_of: Callable[[bytes | None], tuple[str, bytes]],
    ) -> None:
        """Apply records of a topic of which a store's newest record counts, one after the other."""
        for record in _readable(records, result):
            content = None
            try:
                store_id = tombstone_store(record)
                if store_id is None:
                    store_id, content = fact_of(record.value)
            except Exception as error:  # noqa: BLE001  it becomes a dead letter
                result.rejected.append((record, _reason(record, error)))
                continue
            store = store_key(store_id)
            if self._belongs_elsewhere(record, store_id, store, result):
                continue
            current, known_content = decode_fact(result.owned.get(store + tag))
            revision = Revision.of(record).superseding(current)
            if revision is None:
                continue
            # written also if the content is the same, and if there was nothing to remove:
            # an older record must find it
            if content is not None and self._exceeds_max_stores(record, store_id, store, result):
                continue
            if content is None:
                result.retracted_stores.add(store)
                result.put(store + tag, encode_removed(revision))
            else:
                result.stores.add(store)
                result.put(store + tag, encode_fact(revision, content))
                # once for each name: at a new start the record is not applied again
                if tag == TIMEZONE_TAG and content != known_content:
                    self._warn_of_timezone(store_id, content.decode())

    def _warn_of_timezone(self, store_id: str, name: str) -> None:
        if unknown_timezone_name(name) is not None:
            log.warning(
                "store %s: %r is not an IANA timezone: the default one, %s, applies",
                store_id,
                name,
                self._settings.default_timezone,
            )

    def _remove_polls(
        self, store_id: str, record: Any, result: ChunkResult, stores: dict[str, PollsOfRecords]
    ) -> None:
        """Remove all polls of a store that came before a record."""
        store, owned = store_key(store_id), result.owned
        if self._belongs_elsewhere(record, store_id, store, result):
            return
        known = owned.removals.get(store)
        revision = Revision.of(record).superseding(None if known is None else known.revision)
        if revision is None:
            return
        stores.pop(store_id, None)
        for key in list(self._poll_keys(owned, store)):
            result.put(key, None)
        # last: where a crash comes in between, the record is applied again
        removal = PollsRemoval(revision, record.timestamp, _topic_id(owned))
        result.put(store + REMOVED_TAG, encode_polls_removal(removal))
        owned.removals[store] = removal
        result.stores_without_polls.add(store)
        result.retracted_stores.add(store)

    def _split_ill_dated(
        self, polls: Sequence[int], record: Any
    ) -> tuple[Sequence[int], list[str]]:
        # the broker's time of the record, so that a replay rejects what was rejected before
        append_time = record.timestamp * 1000
        tolerance, earliest = self._settings.future_tolerance, self._settings.earliest_poll
        # an array is sorted
        first, last = (
            (polls[0], polls[-1])
            if isinstance(polls, array) and polls
            else (min(polls, default=earliest << 1), max(polls, default=0))
        )
        if first >> 1 >= earliest and last >> 1 <= append_time + tolerance:
            # nearly always: without a call for each poll
            return polls, []
        pairs = [(poll >> 1, bool(poll & 1)) for poll in polls]
        good, reasons = split_ill_dated(pairs, append_time, tolerance, earliest)
        return [instant << 1 | active for instant, active in good], reasons

    def _apply_store(self, of_store: StorePolls, result: ChunkResult) -> None:
        store, polls = of_store.store, of_store.polls
        try:
            read = bucket_reader(result.owned, store)
            late_records: list[tuple[Any, str, int]] = []
            newest_poll = self._newest(store, polls, result)
            if newest_poll - (polls[0] >> 1) > self._settings.retention:
                late = self._layout.late(polls, read)
                late_records = list(self._late_records(of_store.by_record(), late, newest_poll))
                polls = without(polls, late)
            writes = self._layout.writes(polls, read) if polls else []
        except (RevokedError, TableError):
            # nothing is wrong with the records
            raise
        except Exception as error:  # noqa: BLE001  it becomes a dead letter
            records = of_store.by_record()
            if len(records) == 1:
                ((record, _),) = records
                result.rejected.append((record, _reason(record, error)))
                return
            # one of them causes the error: the others are applied
            for one in records:
                self._apply_store(polls_of_records(of_store.store_id, [one]), result)
            return
        result.late_records += late_records
        for write in writes:
            result.put(bucket_key(store, write.bucket), to_bytes(write.polls))
            result.expired_polls += write.expired
        if not polls:
            return
        result.stores.add(store)
        result.newest_poll = max(result.newest_poll or 0, newest(polls))
        result.latest[store] = later(polls[-1], result.latest.get(store, polls[-1]))

    def _newest(self, store: bytes, polls: array[int], result: ChunkResult) -> int:
        """Return the instant of the newest poll that is known of a store, these polls included."""
        known = None
        if store not in result.stores_without_polls:
            known = self._latest_polls.newest_of(result.owned.number, store)
        return max(polls[-1], known or 0, result.latest.get(store, 0)) >> 1

    def _late_records(
        self, records: PollsOfRecords, late: array[int], newest_poll: int
    ) -> Iterator[tuple[Any, str, int]]:
        """Yield the records that hold late polls, why these are rejected, and how many they are."""
        instants = {poll >> 1 for poll in late}
        for record, packed in records:
            matches = sorted(poll >> 1 for poll in packed if poll >> 1 in instants)
            if matches:
                polls = format_instant(matches[0])
                if len(matches) > 1:
                    polls = (
                        f"{len(matches)} polls rejected: {polls} to {format_instant(matches[-1])}"
                    )
                reason = (
                    f"{polls}: older than STORE_UPTIME_RETENTION "
                    f"({format_duration(self._settings.retention)}) before the store's newest "
                    f"poll, {format_instant(newest_poll)}"
                )
                yield record, reason, len(matches)


def max_accepted_stores(settings: Settings) -> int:
    """Return the number of stores that workers accept: a little more than the setting says.

    What the API accepted must not be rejected behind its 202. Several API processes, which do not
    know of each other's newest stores, may accept a few more than the setting says.
    """
    return settings.max_stores + settings.max_stores // 100


def _hours(value: bytes | None) -> tuple[str, bytes]:
    record = decode_hours(value)
    return record.store_id, record.hours.encode()


def _timezone(value: bytes | None) -> tuple[str, bytes]:
    record = decode_timezone(value)
    return record.store_id, record.timezone.encode()


def _readable(records: Iterable[Any], result: ChunkResult) -> Iterator[Any]:
    """Yield the records that can be read; the others are rejected."""
    for record in records:
        if isinstance(record, UnreadableRecords):
            result.rejected.append((record, record.reason))
        else:
            yield record


def _reason(record: Any, error: Exception) -> str:
    """Return the reason why a record is rejected; an error that nobody expected is logged too."""
    if isinstance(error, RecordError):
        return str(error)
    place = record.topic, record.partition, record.offset
    log.error("%s/%d/%d is rejected after an internal error", *place, exc_info=error)
    return f"internal error: {error!r}"


def _topic_id(owned: OwnedPartition) -> str:
    """Return the id of `store-status`; empty if it is not known."""
    position = owned.positions.get(STORE_STATUS.name)
    return "" if position is None else position.topic_id
