"""Reports as the product makes them, and topics that a test fills, for the tests beside it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from stream_app.contracts.business_hours import encode_hours, encode_rows, hours_version
from stream_app.contracts.packed_polls import encode_packed_batch
from stream_app.contracts.partitioning import partition_of
from stream_app.contracts.polls import encode_poll
from stream_app.contracts.report_results import ReportDocument
from stream_app.contracts.stores import encode_timezone
from stream_app.contracts.topics import (
    SOURCE_TOPICS,
    STORE_BUSINESS_HOURS,
    STORE_STATUS,
    STORE_TIMEZONES,
)
from stream_app.domain.business_hours import WeeklyHours
from stream_app.domain.polls import poll_set
from stream_app.domain.report_rows import ReportRow
from stream_app.domain.report_spec import ReportSpec
from stream_app.domain.store_facts import PollRules, StoreFacts
from stream_app.domain.timestamps import DAY, HOUR, format_instant
from stream_app.domain.timezones import resolve_timezone
from stream_app.explain.comparison import compare
from stream_app.explain.reported import reported_result
from stream_app.explain.source_records import read_source_records
from stream_app.settings import Settings
from stream_app.worker.report_document import (
    StoreProvenance,
    chunk_rows,
    common_provenance,
    extra_columns,
    store_document,
)
from tests.fake_record import FakeRecord
from tests.store_rows import columns_of, rows_of, states_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from aiokafka import TopicPartition

    from stream_app.explain.comparison import Comparison
    from tests.strategies import Case, Poll

STORE = "0f5c1a3e-9f2b-4b8e-8a6b-0d8e6f1c2b3a"
OTHER = "00000000-0000-4000-8000-000000000000"
SETTINGS = Settings.from_environment({}, partitions=4)
PARTITION = partition_of(STORE.encode(), SETTINGS.partitions)

APPEND_TIME_MS = 4_000_000_000_000
"""The append time of every record, ms."""

SPECS = (
    ReportSpec(),
    ReportSpec(exact=True),
    ReportSpec(duration=DAY + 7 * HOUR),
    ReportSpec(duration=DAY + 7, exact=True),
    ReportSpec(daily=True),
    ReportSpec(duration=3 * DAY + 11, daily=True),
    ReportSpec(duration=3 * DAY + 11, daily=True, exact=True),
)
specs: st.SearchStrategy[ReportSpec] = st.sampled_from(SPECS)


def settings_of(case: Case) -> Settings:
    return Settings.from_environment(
        {}, partitions=4, default_status="active" if case.default_active else "inactive"
    )


@dataclass
class Topics:
    """The records of the store's partition on all topics; other partitions are empty."""

    oldest: int = 0
    records: dict[str, list[FakeRecord]] = field(
        default_factory=lambda: {spec.name: [] for spec in SOURCE_TOPICS}
    )

    def add(self, topic: str, value: bytes, headers: Sequence[tuple[str, bytes]] = ()) -> None:
        records = self.records[topic]
        offset = self.oldest + len(records) if topic == STORE_STATUS.name else len(records)
        records.append(FakeRecord(topic, value, APPEND_TIME_MS, offset, PARTITION, headers))

    def add_polls(self, *polls: Poll, store_id: str = STORE) -> None:
        for number, (instant, active) in enumerate(polls):
            if number % 2:
                value = encode_packed_batch(store_id, poll_set([(instant, active)]))
            else:
                value = encode_poll(store_id, instant, active=active)
            self.add(STORE_STATUS.name, value)

    async def bounds(self, partition: TopicPartition) -> tuple[int, int]:
        assert partition.partition == PARTITION
        records = self.records[partition.topic]
        oldest = self.oldest if partition.topic == STORE_STATUS.name else 0
        return oldest, oldest + len(records)

    async def records_of(self, topic: str, first: int, end: int) -> AsyncIterator[FakeRecord]:
        for record in self.records[topic]:
            if first <= record.offset < end:
                yield record


class FakeReader:
    """Reads the topics of a test."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        self.bounds = topics.bounds

    def records(self, partition: TopicPartition, first: int, end: int) -> AsyncIterator[Any]:
        return self._topics.records_of(partition.topic, first, end)


def topics_of(case: Case) -> Topics:
    """Return topics with the facts of a case, one record per poll."""
    topics = Topics()
    topics.add_polls((case.reference, True), store_id=OTHER)
    topics.add_polls(*case.polls)
    topics.add(STORE_BUSINESS_HOURS.name, encode_hours(STORE, case.rows))
    topics.add(STORE_TIMEZONES.name, encode_timezone(STORE, case.timezone_name))
    return topics


def offsets_of(topics: Topics) -> dict[str, int]:
    """Return the end offsets of the topics."""
    return {
        name: len(records) + (topics.oldest if name == STORE_STATUS.name else 0)
        for name, records in topics.records.items()
    }


def report_of(
    case: Case, spec: ReportSpec, offsets: dict[str, int], *, of_many: bool = False
) -> dict[str, Any]:
    """Return the report in the JSON form that the product gives."""
    settings = settings_of(case)
    tz = resolve_timezone(case.timezone_name, settings.default_timezone)
    start, end = spec.span(case.reference)
    facts = StoreFacts(WeeklyHours.from_rows(case.rows), tz, poll_set(case.polls))
    rules = PollRules(settings.lookback, case.default_active, settings.stale_after)
    rows = rows_of(spec, STORE, facts, case.reference, rules)
    stripped = [(day, opens.strip(), closes.strip()) for day, opens, closes in case.rows]
    store = StoreProvenance(str(tz), stripped or None, hours_version(encode_rows(stripped)))
    provenance = common_provenance(settings)
    by_partition = {topic: {str(PARTITION): offset} for topic, offset in offsets.items()}
    if not of_many:
        states = states_of(facts, start, end, rules)
        whole = ReportRow([], states.poll_counts()[0], states.coverage()[0])
        return store_document(
            spec,
            rows,
            store,
            whole,
            reference_time=case.reference,
            provenance=provenance,
            input_offsets=by_partition,
            lost_input=[],
            details={},
        ).fields
    fields = (*spec.columns, *extra_columns(spec))
    columns = columns_of(spec, STORE, facts, case.reference, rules)
    entries = [dict(zip(fields, row, strict=True)) for row in chunk_rows(columns, [store])]
    return {
        "reference_time": format_instant(case.reference),
        **provenance,
        "input_offsets": by_partition,
        "columns": list(spec.columns),
        "reports": [{**entries[0], "store_id": OTHER}, *entries],
    }


async def comparison_of(
    content: dict[str, Any], topics: Topics, store: str | None = None
) -> Comparison:
    reported = reported_result(ReportDocument.decode(content), store, SETTINGS.partitions)
    records = await read_source_records(FakeReader(topics), reported, SETTINGS.future_tolerance, 0)
    return compare(reported, records, SETTINGS.default_timezone)
