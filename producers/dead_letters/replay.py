"""Dead letters sent again where they belong.

Polls are a set, so they can go at once and as often as one likes. Hours and zones are not: the
last record of a store wins as a whole. So they wait until all letters are read, and go only
where the store has nothing newer.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from aiokafka import TopicPartition

from producers.dead_letters.decode import (
    HoursRow,
    NotReplayableError,
    RequestRecord,
    recover,
)
from stream_app.contracts.business_hours import (
    MAX_HOURS_ROWS,
    HoursRecord,
    decode_hours,
    encode_hours,
)
from stream_app.contracts.partitioning import partition_of
from stream_app.contracts.polls import MAX_POLLS_PER_RECORD, PollBatch, encode_poll_batch
from stream_app.contracts.removal import taken_back_in
from stream_app.contracts.revisions import Revision
from stream_app.contracts.stores import ZoneRecord, decode_zone, encode_zone
from stream_app.contracts.topics import (
    REPORT_REQUESTS,
    STORE_BUSINESS_HOURS,
    STORE_STATUS,
    STORE_TIMEZONES,
    WEBHOOKS,
    TopicSpec,
)
from stream_app.contracts.webhooks import Webhook, encode_webhook
from stream_app.domain.business_hours import WeeklyHours
from stream_app.errors import RecordError, StoreUptimeError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from typing import Any

    from producers.dead_letters.log import KeptLetter, PartitionReader
    from producers.record_sink import RecordSink
    from stream_app.settings import Settings

MAX_REGISTRY_LETTERS: Final = 50_000
"""Letters of hours and zones that one run holds while it looks for newer records."""

RegistryFact = HoursRecord | HoursRow | ZoneRecord


@dataclass(slots=True)
class Outcome:
    """What became of the letters of a run.

    Attributes:
        letters: how many were looked at.
        sent: how many were handed to Kafka whole (in a dry run: would be).
        unchanged: how many say of hours or a zone what holds already.
        newer: how many were left alone because their store has newer hours or a newer zone.
        still_bad: how many are refused again, as a whole or in part.
        not_replayable: how many do not hold what it takes.
    """

    letters: int = 0
    sent: int = 0
    unchanged: int = 0
    newer: int = 0
    still_bad: int = 0
    not_replayable: int = 0

    @property
    def complete(self) -> bool:
        """True where nothing is left to do for a person."""
        return self.letters == self.sent + self.unchanged


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest valid record of hours or of a zone that a store has on its topic.

    Attributes:
        partition: the partition that it was sent to.
        offset: its offset there.
        taken: µs, when the broker took it.
        fact: what it says; None: it takes back what was said before.
    """

    partition: int
    offset: int
    taken: int
    fact: HoursRecord | ZoneRecord | None

    @classmethod
    def of(
        cls, partition: int, revision: Revision, fact: HoursRecord | ZoneRecord | None
    ) -> Newest:
        """The record of a revision that stands on the store's own partition."""
        place = revision.forwarded_from or (partition, revision.position)
        return cls(*place, revision.latest_ms * 1000, fact)

    def is_newer_than(self, kept: KeptLetter, topic: str) -> bool:
        """Whether it came after the original of a letter did."""
        source = kept.letter.source
        offset = source.get("offset")
        if (source.get("topic"), source.get("partition")) == (topic, self.partition) and isinstance(
            offset, int
        ):
            return self.offset > offset
        return self.taken > kept.taken


@dataclass(slots=True)
class LetterReplay:
    """One run.

    Args:
        settings: of the service.
        reader: reads what stores have now.
        sink: where records go; None sends nothing (a dry run).
        clock: the wall clock, µs.
        show: takes a line about a letter that is not sent.
        force: send hours and zones even where a store has newer ones.
    """

    settings: Settings
    reader: PartitionReader
    sink: RecordSink | None
    clock: Callable[[], int]
    show: Callable[[str], None]
    force: bool = False
    outcome: Outcome = field(default_factory=Outcome)
    _registry: list[tuple[KeptLetter, RegistryFact]] = field(default_factory=list)

    async def run(self, letters: AsyncIterator[KeptLetter]) -> Outcome:
        """Send letters, given oldest first, and wait for every acknowledgement.

        Raises:
            StoreUptimeError: too many letters of hours and zones, or as the sink.
        """
        async for kept in letters:
            await self._take(kept)
        if self._registry:
            await self._send_registry()
        if self.sink is not None:
            await self.sink.drain()
        return self.outcome

    async def _take(self, kept: KeptLetter) -> None:
        self.outcome.letters += 1
        try:
            recovered = recover(
                kept.letter,
                taken=kept.taken,
                clock=self.clock(),
                tolerance=self.settings.future_tolerance,
                earliest=self.settings.earliest_poll,
            )
        except NotReplayableError as error:
            self.outcome.not_replayable += 1
            self.show(f"{kept.number}: cannot be replayed: {error}")
            return
        except RecordError as error:
            self.outcome.still_bad += 1
            self.show(f"{kept.number}: still bad: {error}")
            return
        match recovered.fact:
            case PollBatch(store_id, polls):
                for start in range(0, len(polls), MAX_POLLS_PER_RECORD):
                    value = encode_poll_batch(store_id, polls[start : start + MAX_POLLS_PER_RECORD])
                    await self._send(STORE_STATUS, store_id, value)
            case RequestRecord(key, value):
                await self._send(REPORT_REQUESTS, key, value)
                self.show(
                    f"{kept.number}: a report that has failed stays failed: only a new report_id "
                    "gets a new report"
                )
            case Webhook(report_id) as webhook:
                await self._send(WEBHOOKS, report_id, encode_webhook(webhook))
            case fact:
                self._hold(kept, fact)
                return
        if recovered.refused:
            self.outcome.still_bad += 1
            self.show(
                f"{kept.number}: its good polls are sent, {len(recovered.refused)} are still bad: "
                f"{'; '.join(recovered.refused[:3])}"
            )
        else:
            self.outcome.sent += 1

    def _hold(self, kept: KeptLetter, fact: RegistryFact) -> None:
        if len(self._registry) == MAX_REGISTRY_LETTERS:
            raise StoreUptimeError(
                f"more than {MAX_REGISTRY_LETTERS:,} letters of hours and zones at once: replay "
                "them in parts, by --topic, --file or --since"
            )
        self._registry.append((kept, fact))

    async def _send_registry(self) -> None:
        for topic in (STORE_BUSINESS_HOURS, STORE_TIMEZONES):
            letters = [(kept, fact) for kept, fact in self._registry if _topic_of(fact) is topic]
            newest = await newest_records(
                self.settings, self.reader, topic, {fact.store_id for _, fact in letters}
            )
            current = {store_id: record.fact for store_id, record in newest.items()}
            for kept, fact in letters:
                record = newest.get(fact.store_id)
                wanted = _joined(fact, current.get(fact.store_id))
                if wanted == current.get(fact.store_id):
                    self.outcome.unchanged += 1
                elif (
                    record is not None and record.is_newer_than(kept, topic.name) and not self.force
                ):
                    self.outcome.newer += 1
                    self.show(f"{kept.number}: {_why_left(fact)}")
                elif isinstance(wanted, HoursRecord) and len(wanted.hours) > MAX_HOURS_ROWS:
                    self.outcome.still_bad += 1
                    self.show(
                        f"{kept.number}: still bad: more than {MAX_HOURS_ROWS:,} rows of hours for "
                        f"store {fact.store_id}"
                    )
                else:
                    await self._send(topic, wanted.store_id, _encoded(wanted))
                    # letters that come later build on this one
                    current[fact.store_id] = wanted
                    self.outcome.sent += 1

    async def _send(self, topic: TopicSpec, key: str, value: bytes) -> None:
        if self.sink is not None:
            await self.sink.send(topic, key.encode(), value)


async def newest_records(
    settings: Settings, reader: PartitionReader, topic: TopicSpec, store_ids: set[str]
) -> dict[str, Newest]:
    """The newest valid record of each of these stores that has one.

    Raises:
        BrokerUnavailableError: no broker answers.
    """
    by_partition: defaultdict[int, set[str]] = defaultdict(set)
    for store_id in store_ids:
        partition = partition_of(store_id.encode(), topic.partitions(settings))
        by_partition[partition].add(store_id)
    found: dict[str, Newest] = {}
    revisions: dict[str, Revision] = {}
    for partition, wanted in by_partition.items():
        place = TopicPartition(topic.name, partition)
        async for record in reader.records(place, *await reader.bounds(place)):
            fact = _valid(topic, record)
            of_store = fact.store_id if fact is not None else _taken_back(record)
            # a store's record on another store's partition is passed on by the worker to here
            if of_store is None or of_store not in wanted:
                continue
            revision = Revision.of(record).superseding(revisions.get(of_store))
            if revision is not None:
                revisions[of_store] = revision
                found[of_store] = Newest.of(partition, revision, fact)
    return found


def _valid(topic: TopicSpec, record: Any) -> HoursRecord | ZoneRecord | None:
    try:
        if topic is STORE_TIMEZONES:
            return decode_zone(record.value)
        hours = decode_hours(record.value)
        WeeklyHours.from_rows(hours.hours)
    except RecordError:
        return None
    return hours


def _taken_back(record: Any) -> str | None:
    try:
        return taken_back_in(record)
    except RecordError:
        return None


def _why_left(fact: RegistryFact) -> str:
    match fact:
        case HoursRow(store_id):
            return f"store {store_id} has newer business hours: --force adds the row to them"
        case HoursRecord(store_id):
            return f"store {store_id} has newer business hours: --force replaces them"
        case ZoneRecord(store_id):
            return f"store {store_id} has a newer time zone: --force replaces it"


def _topic_of(fact: RegistryFact) -> TopicSpec:
    return STORE_TIMEZONES if isinstance(fact, ZoneRecord) else STORE_BUSINESS_HOURS


def _joined(
    fact: RegistryFact, current: HoursRecord | ZoneRecord | None
) -> HoursRecord | ZoneRecord:
    """What the store has once the fact is applied: a row of hours joins those that are there."""
    if not isinstance(fact, HoursRow):
        return fact
    rows = current.hours if isinstance(current, HoursRecord) else ()
    return HoursRecord(fact.store_id, rows if fact.row in rows else (*rows, fact.row))


def _encoded(fact: HoursRecord | ZoneRecord) -> bytes:
    if isinstance(fact, ZoneRecord):
        return encode_zone(fact.store_id, fact.timezone)
    return encode_hours(fact.store_id, list(fact.hours))
