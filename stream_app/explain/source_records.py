"""What the topics still say of one store."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from aiokafka import TopicPartition

from stream_app.contracts.business_hours import decode_hours
from stream_app.contracts.polls import ahead_of_clock, before_earliest, decode_poll_batch
from stream_app.contracts.removal import PollsRemoval, removal_in, taken_back_in
from stream_app.contracts.revisions import Revision
from stream_app.contracts.stores import decode_zone
from stream_app.contracts.topics import (
    SOURCE_TOPICS,
    STORE_BUSINESS_HOURS,
    STORE_STATUS,
    STORE_TIMEZONES,
)
from stream_app.domain.business_hours import WeeklyHours
from stream_app.errors import RecordError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from stream_app.explain.reference_model import Row
    from stream_app.explain.reported import Claim


class Reader(Protocol):
    """Reads ranges of a topic's partition."""

    async def bounds(self, partition: TopicPartition) -> tuple[int, int]:
        """The oldest offset that is kept, and the one behind the newest."""

    def records(self, partition: TopicPartition, first: int, end: int) -> AsyncIterator[Any]:
        """The records in `[first, end)`."""


class SeenPoll(NamedTuple):
    """A poll as it came; its instant in µs."""

    offset: int
    instant: int
    active: bool


class SeenHours(NamedTuple):
    """Business hours as they came; none at all where they were taken back."""

    offset: int
    rows: list[Row]
    revision: Revision


class SeenZone(NamedTuple):
    """The name of a zone as it came; None where it was taken back."""

    offset: int
    name: str | None
    revision: Revision


@dataclass(slots=True)
class Evidence:
    """Records of one store, in the order of their offsets; also those behind the claim's.

    Attributes:
        polls: those that can count.
        hours: all that counted when they came: an older one that a worker forwarded did not.
        zones: likewise.
        removals: those that took back the polls that came before them.
        oldest: the offset that the partition of `store-status` begins at.
        end: the offset that it was read up to.
    """

    polls: list[SeenPoll] = field(default_factory=list)
    hours: list[SeenHours] = field(default_factory=list)
    zones: list[SeenZone] = field(default_factory=list)
    removals: list[PollsRemoval] = field(default_factory=list)
    oldest: int = 0
    end: int = 0

    def polls_below(self, offset: int) -> list[SeenPoll]:
        """The polls that stand below an offset, and have not been taken back below it."""
        removed = max(
            (
                removal.revision.position
                for removal in self.removals
                if removal.revision.position < offset
            ),
            default=-1,
        )
        return [poll for poll in self.polls if removed < poll.offset < offset]


async def gather(
    reader: Reader,
    claim: Claim,
    tolerance: int,
    earliest: int,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Evidence:
    """Read a store's partition of all source topics, whole.

    Args:
        reader: what reads.
        claim: whose store is meant.
        tolerance: the setting FUTURE_TOLERANCE, µs.
        earliest: the setting EARLIEST_POLL, µs.
        on_progress: told how many offsets are read, and of how many.

    Raises:
        BrokerUnavailableError: no broker answers.
    """
    evidence = Evidence()
    take = {
        STORE_STATUS.name: lambda record: _take_polls(evidence, record, claim, tolerance, earliest),
        STORE_BUSINESS_HOURS.name: lambda record: _take_hours(evidence, record, claim),
        STORE_TIMEZONES.name: lambda record: _take_zone(evidence, record, claim),
    }
    places = [TopicPartition(spec.name, claim.partition) for spec in SOURCE_TOPICS]
    bounds = {place: await reader.bounds(place) for place in places}
    evidence.oldest, evidence.end = bounds[places[0]]
    total = sum(end - oldest for oldest, end in bounds.values())
    dashed = claim.store_id.encode()
    plain = dashed.replace(b"-", b"")
    done = 0
    for place, (oldest, end) in bounds.items():
        async for record in reader.records(place, oldest, end):
            # most records are of other stores: this look is quicker than reading them
            value = (record.value or record.key or b"").lower()
            if dashed in value or plain in value:
                take[place.topic](record)
            on_progress(done + record.offset + 1 - oldest, total)
        done += end - oldest
        on_progress(done, total)
    return evidence


def _take_polls(
    evidence: Evidence, record: Any, claim: Claim, tolerance: int, earliest: int
) -> None:
    try:
        removed = removal_in(record.value)
        if removed is not None:
            if removed == claim.store_id:
                _take_removal(evidence, record)
            return
        batch, _ = decode_poll_batch(record.value)
    except RecordError:
        # the worker has kept it as a dead letter
        return
    if batch.store_id != claim.store_id:
        return
    if evidence.removals and evidence.removals[-1].hides(record, ""):
        return
    for instant, active in batch.polls:
        if claim.start - claim.lookback <= instant <= claim.end and (
            before_earliest(instant, earliest) is None
            and ahead_of_clock(instant, record.timestamp * 1000, tolerance) is None
        ):
            evidence.polls.append(SeenPoll(record.offset, instant, active))


def _take_removal(evidence: Evidence, record: Any) -> None:
    known = evidence.removals[-1].revision if evidence.removals else None
    revision = Revision.of(record).superseding(known)
    if revision is not None:
        evidence.removals.append(PollsRemoval(revision, record.timestamp, ""))


def _take_hours(evidence: Evidence, record: Any, claim: Claim) -> None:
    try:
        if taken_back_in(record) == claim.store_id:
            revision = _superseding(record, evidence.hours)
            if revision is not None:
                evidence.hours.append(SeenHours(record.offset, [], revision))
            return
        told = decode_hours(record.value)
        # a wrong row refuses the record, whose store keeps its earlier hours
        WeeklyHours.from_rows(told.hours)
    except RecordError:
        return
    revision = _superseding(record, evidence.hours)
    if told.store_id == claim.store_id and revision is not None:
        rows = [(day, opens.strip(), closes.strip()) for day, opens, closes in told.hours]
        evidence.hours.append(SeenHours(record.offset, rows, revision))


def _take_zone(evidence: Evidence, record: Any, claim: Claim) -> None:
    try:
        if taken_back_in(record) == claim.store_id:
            revision = _superseding(record, evidence.zones)
            if revision is not None:
                evidence.zones.append(SeenZone(record.offset, None, revision))
            return
        told = decode_zone(record.value)
    except RecordError:
        return
    revision = _superseding(record, evidence.zones)
    if told.store_id == claim.store_id and revision is not None:
        evidence.zones.append(SeenZone(record.offset, told.timezone, revision))


def _superseding(record: Any, seen: Sequence[SeenHours | SeenZone]) -> Revision | None:
    """The revision that a record makes after these; None if it is older than the last of them."""
    return Revision.of(record).superseding(seen[-1].revision if seen else None)
