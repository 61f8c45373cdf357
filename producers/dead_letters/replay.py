"""Sends the originals of dead letters to their topics again.

Polls are a set, so they are sent at once and may be sent again. Of business hours and timezones
the last record of a store replaces all earlier ones. So they are sent after all dead letters are
read, and only if the store has no newer record.
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
    decode_original,
)
from stream_app.contracts.business_hours import (
    MAX_HOURS_ROWS,
    BusinessHours,
    HoursRecord,
    decode_hours,
    encode_hours,
)
from stream_app.contracts.partitioning import partition_of
from stream_app.contracts.polls import MAX_POLLS_PER_RECORD, PollBatch, encode_poll_batch
from stream_app.contracts.removal import tombstone_store
from stream_app.contracts.revisions import Revision
from stream_app.contracts.stores import TimezoneRecord, decode_timezone, encode_timezone
from stream_app.contracts.topics import (
    REPORT_REQUESTS,
    STORE_BUSINESS_HOURS,
    STORE_STATUS,
    STORE_TIMEZONES,
    WEBHOOKS,
    TopicSpec,
)
from stream_app.contracts.webhooks import Webhook, encode_webhook
from stream_app.errors import RecordError, StoreUptimeError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from typing import Any

    from producers.dead_letters.log import StoredDeadLetter
    from producers.record_sink import RecordSink
    from stream_app.kafka.partition_reader import PartitionReader
    from stream_app.settings import Settings

MAX_HOURS_AND_TIMEZONES: Final = 50_000
"""Most dead letters of business hours and timezones that one run holds in memory."""

HoursOrTimezone = HoursRecord | HoursRow | TimezoneRecord


@dataclass(slots=True)
class ReplayResult:
    """Counts of the dead letters of a replay, by outcome.

    Attributes:
        total: all dead letters that were read.
        sent: those that were sent as a whole (in a dry run: that would be sent).
        unchanged: those of hours or a timezone that equal what the store has.
        superseded: those not sent because the store has newer hours or a newer timezone.
        rejected_again: those that are rejected again, as a whole or in part.
        not_replayable: those that lack information.
    """

    total: int = 0
    sent: int = 0
    unchanged: int = 0
    superseded: int = 0
    rejected_again: int = 0
    not_replayable: int = 0

    @property
    def complete(self) -> bool:
        """Return True if every dead letter was sent, or changes nothing."""
        return self.total == self.sent + self.unchanged


@dataclass(frozen=True, slots=True)
class NewestRecord:
    """The newest valid record of hours or of a timezone that a store has on its topic.

    Attributes:
        partition: the partition to which it was first sent.
        offset: its offset there.
        appended_at: µs; the broker's time of the record.
        content: the record; None for one that removes the store's earlier ones.
    """

    partition: int
    offset: int
    appended_at: int
    content: HoursRecord | TimezoneRecord | None

    @classmethod
    def from_revision(
        cls, partition: int, revision: Revision, content: HoursRecord | TimezoneRecord | None
    ) -> NewestRecord:
        """Make it from a revision that was read on the store's own partition."""
        first_position = revision.forwarded_from or (partition, revision.position)
        return cls(*first_position, revision.latest_ms * 1000, content)

    def is_newer_than(self, stored: StoredDeadLetter, topic: str) -> bool:
        """Return True if it was appended after the original of a dead letter."""
        source = stored.dead_letter.source
        offset = source.get("offset")
        if (source.get("topic"), source.get("partition")) == (topic, self.partition) and isinstance(
            offset, int
        ):
            return self.offset > offset
        return self.appended_at > stored.stored_at


@dataclass(slots=True)
class DeadLetterReplay:
    """One replay of dead letters.

    Args:
        settings: settings of the service.
        reader: reads the records that stores have now.
        sink: sends the records; None sends nothing (a dry run).
        clock: the wall clock, µs.
        show: prints a line about a dead letter that is not sent.
        force: send hours and timezones even if a store has newer ones.
    """

    settings: Settings
    reader: PartitionReader
    sink: RecordSink | None
    clock: Callable[[], int]
    show: Callable[[str], None]
    force: bool = False
    result: ReplayResult = field(default_factory=ReplayResult, init=False)
    _hours_and_timezones: list[tuple[StoredDeadLetter, HoursOrTimezone]] = field(
        default_factory=list, init=False
    )

    async def run(self, dead_letters: AsyncIterator[StoredDeadLetter]) -> ReplayResult:
        """Send dead letters, given oldest first, and wait for every acknowledgement.

        Raises:
            StoreUptimeError: too many dead letters of hours and timezones, or from the sink.
        """
        async for stored in dead_letters:
            await self._replay(stored)
        if self._hours_and_timezones:
            await self._send_hours_and_timezones()
        if self.sink is not None:
            await self.sink.drain()
        return self.result

    async def _replay(self, stored: StoredDeadLetter) -> None:
        self.result.total += 1
        try:
            decoded = decode_original(
                stored.dead_letter,
                stored_at=stored.stored_at,
                clock=self.clock(),
                tolerance=self.settings.future_tolerance,
                earliest=self.settings.earliest_poll,
            )
        except NotReplayableError as error:
            self.result.not_replayable += 1
            self.show(f"{stored.offset}: cannot be replayed: {error}")
            return
        except RecordError as error:
            self.result.rejected_again += 1
            self.show(f"{stored.offset}: still bad: {error}")
            return
        match decoded.content:
            case PollBatch(store_id, polls):
                for start in range(0, len(polls), MAX_POLLS_PER_RECORD):
                    value = encode_poll_batch(store_id, polls[start : start + MAX_POLLS_PER_RECORD])
                    await self._send(STORE_STATUS, store_id, value)
            case RequestRecord(key, value):
                await self._send(REPORT_REQUESTS, key, value)
                self.show(
                    f"{stored.offset}: a report that has failed stays failed: only a new report_id "
                    "gets a new report"
                )
            case Webhook(report_id) as webhook:
                await self._send(WEBHOOKS, report_id, encode_webhook(webhook))
            case content:
                self._defer(stored, content)
                return
        if decoded.rejected:
            self.result.rejected_again += 1
            self.show(
                f"{stored.offset}: its good polls are sent, {len(decoded.rejected)} are still bad: "
                f"{'; '.join(decoded.rejected[:3])}"
            )
        else:
            self.result.sent += 1

    def _defer(self, stored: StoredDeadLetter, content: HoursOrTimezone) -> None:
        if len(self._hours_and_timezones) == MAX_HOURS_AND_TIMEZONES:
            raise StoreUptimeError(
                f"more than {MAX_HOURS_AND_TIMEZONES:,} dead letters of hours and timezones: "
                "replay them in parts, by --topic, --file or --since"
            )
        self._hours_and_timezones.append((stored, content))

    async def _send_hours_and_timezones(self) -> None:
        for topic in (STORE_BUSINESS_HOURS, STORE_TIMEZONES):
            dead_letters = [
                (stored, content)
                for stored, content in self._hours_and_timezones
                if _topic_of(content) is topic
            ]
            newest = await newest_records(
                self.settings, self.reader, topic, {content.store_id for _, content in dead_letters}
            )
            current = {store_id: record.content for store_id, record in newest.items()}
            for stored, content in dead_letters:
                store_id = content.store_id
                record = newest.get(store_id)
                merged = _merged(content, current.get(store_id))
                if merged == current.get(store_id):
                    self.result.unchanged += 1
                elif (
                    record is not None
                    and record.is_newer_than(stored, topic.name)
                    and not self.force
                ):
                    self.result.superseded += 1
                    self.show(f"{stored.offset}: {_why_superseded(content)}")
                elif isinstance(merged, HoursRecord) and len(merged.hours.rows) > MAX_HOURS_ROWS:
                    self.result.rejected_again += 1
                    self.show(
                        f"{stored.offset}: still bad: more than {MAX_HOURS_ROWS:,} rows of hours "
                        f"for store {store_id}"
                    )
                else:
                    await self._send(topic, merged.store_id, _encoded(merged))
                    # the following dead letters of the store build on this one
                    current[store_id] = merged
                    self.result.sent += 1

    async def _send(self, topic: TopicSpec, key: str, value: bytes) -> None:
        if self.sink is not None:
            await self.sink.send(topic, key.encode(), value)


async def newest_records(
    settings: Settings, reader: PartitionReader, topic: TopicSpec, store_ids: set[str]
) -> dict[str, NewestRecord]:
    """Read the newest valid record of each of these stores, as far as it has one.

    Raises:
        BrokerUnavailableError: no broker answers.
    """
    by_partition: defaultdict[int, set[str]] = defaultdict(set)
    for store_id in store_ids:
        partition = partition_of(store_id.encode(), topic.partitions(settings))
        by_partition[partition].add(store_id)
    newest: dict[str, NewestRecord] = {}
    revisions: dict[str, Revision] = {}
    for number, stores in by_partition.items():
        partition = TopicPartition(topic.name, number)
        async for record in reader.records(partition, *await reader.bounds(partition)):
            content = _valid(topic, record)
            record_store = content.store_id if content is not None else _removed_store(record)
            # the worker forwards a store's record on another partition to this one
            if record_store is None or record_store not in stores:
                continue
            revision = Revision.of(record).superseding(revisions.get(record_store))
            if revision is not None:
                revisions[record_store] = revision
                newest[record_store] = NewestRecord.from_revision(number, revision, content)
    return newest


def _valid(topic: TopicSpec, record: Any) -> HoursRecord | TimezoneRecord | None:
    try:
        if topic is STORE_TIMEZONES:
            return decode_timezone(record.value)
        return decode_hours(record.value)
    except RecordError:
        return None


def _removed_store(record: Any) -> str | None:
    try:
        return tombstone_store(record)
    except RecordError:
        return None


def _why_superseded(content: HoursOrTimezone) -> str:
    match content:
        case HoursRow(store_id):
            return f"store {store_id} has newer business hours: --force adds the row to them"
        case HoursRecord(store_id):
            return f"store {store_id} has newer business hours: --force replaces them"
        case TimezoneRecord(store_id):
            return f"store {store_id} has a newer timezone: --force replaces it"


def _topic_of(content: HoursOrTimezone) -> TopicSpec:
    return STORE_TIMEZONES if isinstance(content, TimezoneRecord) else STORE_BUSINESS_HOURS


def _merged(
    content: HoursOrTimezone, current: HoursRecord | TimezoneRecord | None
) -> HoursRecord | TimezoneRecord:
    """Return the record that applies the content: a row of hours is added to the current rows."""
    if not isinstance(content, HoursRow):
        return content
    rows = current.hours.rows if isinstance(current, HoursRecord) else ()
    if content.row not in rows:
        rows = (*rows, content.row)
    return HoursRecord(content.store_id, BusinessHours(rows))


def _encoded(record: HoursRecord | TimezoneRecord) -> bytes:
    if isinstance(record, TimezoneRecord):
        return encode_timezone(record.store_id, record.timezone)
    return encode_hours(record.store_id, record.hours.rows)
