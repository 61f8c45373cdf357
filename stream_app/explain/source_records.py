"""Reads the records of one store from the source topics."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from aiokafka import TopicPartition

from stream_app.contracts.business_hours import decode_hours
from stream_app.contracts.polls import ahead_of_clock, before_earliest, decode_poll_batch
from stream_app.contracts.removal import PollsRemoval, decode_polls_removal, tombstone_store
from stream_app.contracts.revisions import Revision
from stream_app.contracts.stores import decode_timezone
from stream_app.contracts.topics import (
    SOURCE_TOPICS,
    STORE_BUSINESS_HOURS,
    STORE_STATUS,
    STORE_TIMEZONES,
)
from stream_app.errors import RecordError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from stream_app.explain.reference_model import Row
    from stream_app.explain.reported import ReportedResult


class Reader(Protocol):
    """Reads ranges of a topic's partition."""

    async def bounds(self, partition: TopicPartition) -> tuple[int, int]:
        """Return the first offset of the partition and its end offset."""

    def records(self, partition: TopicPartition, first: int, end: int) -> AsyncIterator[Any]:
        """Return the records in `[first, end)`."""


class PollAtOffset(NamedTuple):
    """A poll with the offset of its record; the instant in µs."""

    offset: int
    instant: int
    active: bool


class HoursAtOffset(NamedTuple):
    """Business hours with the offset of their record; no rows where they were removed."""

    offset: int
    rows: list[Row]
    revision: Revision


class TimezoneAtOffset(NamedTuple):
    """The name of a timezone with the offset of its record; None where it was removed."""

    offset: int
    name: str | None
    revision: Revision


@dataclass(slots=True)
class SourceRecords:
    """The records of one store in the order of their offsets, also those after the report's.

    Attributes:
        polls: the polls that can count.
        hours: the business hours that applied when they were written; an older record that a
            worker forwarded later never applied.
        timezones: the timezones that applied when they were written.
        removals: the records that removed all earlier polls.
        oldest: the first offset of the partition of `store-status`.
        end: the offset up to which that partition was read.
    """

    polls: list[PollAtOffset] = field(default_factory=list)
    hours: list[HoursAtOffset] = field(default_factory=list)
    timezones: list[TimezoneAtOffset] = field(default_factory=list)
    removals: list[PollsRemoval] = field(default_factory=list)
    oldest: int = 0
    end: int = 0

    def polls_below(self, offset: int) -> list[PollAtOffset]:
        """Return the polls below an offset that no record below it has removed."""
        removed = max(
            (
                removal.revision.position
                for removal in self.removals
                if removal.revision.position < offset
            ),
            default=-1,
        )
        return [poll for poll in self.polls if removed < poll.offset < offset]


async def read_source_records(
    reader: Reader,
    reported: ReportedResult,
    tolerance: int,
    earliest: int,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> SourceRecords:
    """Read the partition of a store in all source topics, from its first offset to its end.

    Args:
        reader: reads the topics.
        reported: names the store and its partition, and the time range in which polls count.
        tolerance: the setting FUTURE_TOLERANCE, µs.
        earliest: the setting EARLIEST_POLL, µs.
        on_progress: called with the number of offsets that are read so far, and of all offsets.

    Raises:
        BrokerUnavailableError: no broker answers.
    """
    records = SourceRecords()
    add = {
        STORE_STATUS.name: lambda record: _add_polls(
            records, record, reported, tolerance, earliest
        ),
        STORE_BUSINESS_HOURS.name: lambda record: _add_hours(records, record, reported),
        STORE_TIMEZONES.name: lambda record: _add_timezone(records, record, reported),
    }
    partitions = [TopicPartition(spec.name, reported.partition) for spec in SOURCE_TOPICS]
    bounds = {partition: await reader.bounds(partition) for partition in partitions}
    records.oldest, records.end = bounds[partitions[0]]
    total = sum(end - oldest for oldest, end in bounds.values())
    dashed = reported.store_id.encode()
    plain = dashed.replace(b"-", b"")
    done = 0
    for partition, (oldest, end) in bounds.items():
        async for record in reader.records(partition, oldest, end):
            # most records are of other stores: searching for the id is quicker than parsing them
            value = (record.value or record.key or b"").lower()
            if dashed in value or plain in value:
                add[partition.topic](record)
            on_progress(done + record.offset + 1 - oldest, total)
        done += end - oldest
        on_progress(done, total)
    return records


def _add_polls(
    records: SourceRecords, record: Any, reported: ReportedResult, tolerance: int, earliest: int
) -> None:
    try:
        removed = decode_polls_removal(record.value)
        if removed is not None:
            if removed == reported.store_id:
                _add_removal(records, record)
            return
        batch, _ = decode_poll_batch(record.value)
    except RecordError:
        # a worker has written a dead letter of it
        return
    if batch.store_id != reported.store_id:
        return
    if records.removals and records.removals[-1].hides(record, ""):
        return
    for instant, active in batch.polls:
        if reported.start - reported.lookback <= instant <= reported.end and (
            before_earliest(instant, earliest) is None
            and ahead_of_clock(instant, record.timestamp * 1000, tolerance) is None
        ):
            records.polls.append(PollAtOffset(record.offset, instant, active))


def _add_removal(records: SourceRecords, record: Any) -> None:
    known = records.removals[-1].revision if records.removals else None
    revision = Revision.of(record).superseding(known)
    if revision is not None:
        records.removals.append(PollsRemoval(revision, record.timestamp, ""))


def _add_hours(records: SourceRecords, record: Any, reported: ReportedResult) -> None:
    try:
        if tombstone_store(record) == reported.store_id:
            revision = _superseding(record, records.hours)
            if revision is not None:
                records.hours.append(HoursAtOffset(record.offset, [], revision))
            return
        decoded = decode_hours(record.value)
    except RecordError:
        # the record was rejected, and the earlier hours of the store still apply
        return
    revision = _superseding(record, records.hours)
    if decoded.store_id == reported.store_id and revision is not None:
        records.hours.append(HoursAtOffset(record.offset, list(decoded.hours.rows), revision))


def _add_timezone(records: SourceRecords, record: Any, reported: ReportedResult) -> None:
    try:
        if tombstone_store(record) == reported.store_id:
            revision = _superseding(record, records.timezones)
            if revision is not None:
                records.timezones.append(TimezoneAtOffset(record.offset, None, revision))
            return
        decoded = decode_timezone(record.value)
    except RecordError:
        return
    revision = _superseding(record, records.timezones)
    if decoded.store_id == reported.store_id and revision is not None:
        records.timezones.append(TimezoneAtOffset(record.offset, decoded.timezone, revision))


def _superseding(
    record: Any, earlier: Sequence[HoursAtOffset | TimezoneAtOffset]
) -> Revision | None:
    """Return the revision of a record if it supersedes the last of the earlier ones; else None."""
    return Revision.of(record).superseding(earlier[-1].revision if earlier else None)
