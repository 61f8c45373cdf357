"""A report of many stores is computed in parts with one reference time, and published in chunks."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from stream_app.contracts.business_hours import encode_rows, hours_version
from stream_app.contracts.report_requests import (
    FleetPartRequest,
    FleetRequest,
    decode_request,
    encode_request,
)
from stream_app.contracts.topics import (
    QUERY_RESULTS,
    REPORT_RESULTS,
    SOURCE_TOPICS,
    STORE_QUERIES,
)
from stream_app.domain.business_hours import WeeklyHours
from stream_app.domain.open_time import opening_edges
from stream_app.domain.poll_buckets import HOT
from stream_app.domain.report import CSV_HEADER
from stream_app.domain.report_rows import build_columns
from stream_app.domain.report_spec import ReportSpec
from stream_app.domain.timestamps import DAY, HOUR, SECOND, WEEK
from stream_app.worker.agents import fleet_reports, report_calculator
from stream_app.worker.facts.keys import HOURS_TAG, TIMEZONE_TAG, bucket_key, store_key
from stream_app.worker.report_document import common_provenance, extra_columns
from tests.agent_fakes import (
    NOW,
    PARTITIONS,
    FakeEvent,
    FakeMessage,
    FakePartitionFacts,
    FakeStream,
    Harness,
    settle,
    store_in,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from stream_app.contracts.report_results import ReportEvent
    from stream_app.contracts.topics import TopicSpec

REPORT = str(UUID(int=77))
STORES = sorted(store_in(1, number) for number in range(7))
PART = FleetPartRequest(REPORT, 1, PARTITIONS, NOW, NOW - SECOND)


def owning_stores(**overrides: Any) -> Harness:
    """Return a worker that owns partition 1 with seven stores that were up for 3 hours."""
    harness = Harness({1: STORES}, **overrides)
    for store in STORES:
        harness.add_polls(1, store, (NOW - 3 * HOUR, True))
    return harness


async def ask(
    harness: Harness, request: FleetRequest | FleetPartRequest, partition: int = 1
) -> FakeEvent:
    (event,) = await harness.request(request, partition=partition)
    return event


@pytest.fixture
async def harness() -> Harness:
    return owning_stores()


# -- requests for a whole report


async def test_a_part_is_requested_of_every_partition_with_one_reference_time(
    harness: Harness,
) -> None:
    harness.applied_offsets.newest = NOW - DAY

    event = await ask(harness, FleetRequest(REPORT))

    assert harness.requested_parts() == [
        FleetPartRequest(REPORT, part, PARTITIONS, NOW - DAY, NOW) for part in range(PARTITIONS)
    ]
    assert [each.status for each in harness.publisher.reports] == ["running"]
    assert event.acks == 1


async def test_the_reference_time_is_chosen_after_catching_up(harness: Harness) -> None:
    harness.applied_offsets.newest = NOW - DAY
    harness.applied_offsets.caught_up.clear()
    await ask(harness, FleetRequest(REPORT))
    assert harness.requested_parts() == []

    harness.applied_offsets.newest = NOW - HOUR
    harness.applied_offsets.caught_up.set()
    await settle()

    assert {part.reference_time for part in harness.requested_parts()} == {NOW - HOUR}


async def test_parts_are_requested_only_of_the_owners_of_named_stores(harness: Harness) -> None:
    named = tuple(sorted([store_in(0), store_in(3), store_in(3, 1)]))

    await ask(harness, FleetRequest(REPORT, named, reference_time=NOW))

    parts = {part.part: part for part in harness.requested_parts()}
    assert {part.parts for part in parts.values()} == {2}
    assert parts[0].store_ids == (store_in(0),)
    assert parts[3].store_ids == tuple(sorted([store_in(3), store_in(3, 1)]))


async def test_the_request_is_acknowledged_when_every_part_is_requested(harness: Harness) -> None:
    harness.publisher.sends.at_once = False

    event = await ask(harness, FleetRequest(REPORT, reference_time=NOW))
    running, *parts = harness.publisher.sends.pending
    running.set_result(None)
    for sent in parts[:-1]:
        sent.set_result(None)
    await settle()
    assert event.acks == 0
    parts[-1].set_result(None)
    await settle()

    assert event.acks == 1


async def test_a_report_without_a_time_fails_if_there_is_no_poll(harness: Harness) -> None:
    await ask(harness, FleetRequest(REPORT))

    assert "no poll of any store has come in yet" in harness.reason()
    assert harness.requested_parts() == []


async def test_a_request_whose_partition_is_revoked_is_sent_again_with_its_time(
    harness: Harness,
) -> None:
    harness.applied_offsets.caught_up.clear()
    event = await ask(harness, FleetRequest(REPORT))

    harness.owned_partitions.partitions[1].revoked.set()
    await settle()

    (forwarded,) = harness.publisher.forwarded
    assert decode_request(forwarded.value) == FleetRequest(REPORT, requested_at=NOW)
    assert forwarded.partition == 1
    assert event.acks == 1


# -- requests for a part


async def test_a_part_has_all_stores_of_the_partition_in_order(harness: Harness) -> None:
    harness.facts.content[1, store_key(STORES[2]) + TIMEZONE_TAG] = b"Asia/Kathmandu"
    harness.facts.content[1, store_key(STORES[3]) + HOURS_TAG] = encode_rows(
        [(day, "00:00", "00:00") for day in range(7)]
    )

    event = await ask(harness, PART)

    (report_event,) = harness.publisher.reports
    assert report_event.status == "running"
    chunk = report_event.chunk
    assert chunk is not None
    assert (chunk.part, chunk.parts, chunk.chunk, chunk.chunks) == (1, PARTITIONS, 0, 1)
    assert (chunk.reference_time, chunk.provenance) == (NOW, common_provenance(harness.settings))
    assert chunk.input_offsets == {spec.name: 0 for spec in SOURCE_TOPICS}
    assert (chunk.columns, chunk.extra_columns) == (CSV_HEADER, extra_columns(ReportSpec()))
    assert [row[0] for row in chunk.rows] == STORES
    two_hours_of_a_week = 0.011905
    provenance = ["America/Chicago", hours_version(None), 1, two_hours_of_a_week, None]
    unknown = [60, 1.0, 1.0, 0, 21.0, 165.0]
    assert chunk.rows[0] == [STORES[0], 60, 3.0, 3.0, 0, 21.0, 165.0, *provenance, *unknown]
    assert chunk.rows[2][7] == "Asia/Kathmandu"
    assert chunk.rows[3][1:7] == [0, 0.0, 0.0, 0, 0.0, 0.0]
    assert event.acks == 1


async def test_a_large_part_comes_in_chunks_of_one_attempt(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_reports, "CHUNK_ROWS", 3)
    monkeypatch.setattr(report_calculator, "MAX_TURN_STORES", 2)

    await ask(harness, PART)
    chunks = [event.chunk for event in harness.publisher.reports if event.chunk is not None]

    assert [(chunk.chunk, chunk.chunks) for chunk in chunks] == [(0, 3), (1, 3), (2, 3)]
    assert len({chunk.attempt for chunk in chunks}) == 1
    assert [row[0] for chunk in chunks for row in chunk.rows] == STORES


async def test_computing_a_part_again_is_another_attempt(harness: Harness) -> None:
    await ask(harness, PART)
    await ask(harness, PART)

    one, other = (event.chunk for event in harness.publisher.reports)
    assert one is not None
    assert other is not None
    assert one.attempt != other.attempt


async def test_a_part_without_stores_is_published_too(harness: Harness) -> None:
    harness.owned_partitions.own(2)

    await ask(harness, FleetPartRequest(REPORT, 2, PARTITIONS, NOW, NOW), partition=2)

    (report_event,) = harness.publisher.reports
    assert report_event.chunk is not None
    assert (report_event.chunk.rows, report_event.chunk.chunks) == ([], 1)


async def test_a_part_of_named_stores_has_no_others(harness: Harness) -> None:
    await ask(harness, FleetPartRequest(REPORT, 1, 1, NOW, NOW, tuple(STORES[2:4])))

    (report_event,) = harness.publisher.reports
    assert report_event.chunk is not None
    assert [row[0] for row in report_event.chunk.rows] == STORES[2:4]


async def test_an_unknown_store_fails_the_report(harness: Harness) -> None:
    unknown = store_in(1, 50)

    await ask(harness, FleetPartRequest(REPORT, 1, 1, NOW, NOW, (STORES[0], unknown)))

    assert f"store {unknown} is unknown" in harness.reason()


async def test_a_part_waits_for_all_polls_that_were_acknowledged_before(harness: Harness) -> None:
    harness.applied_offsets.caught_up.clear()
    await ask(harness, PART)
    assert harness.publisher.reports == []

    harness.applied_offsets.caught_up.set()
    await settle()

    assert len(harness.publisher.reports) == 1


async def test_a_part_that_another_worker_owns_now_is_forwarded(harness: Harness) -> None:
    event = await ask(harness, PART, partition=0)

    (part,) = harness.requested_parts()
    assert part == PART
    assert harness.publisher.reports == []
    assert event.acks == 1


async def test_a_part_whose_partition_is_revoked_meanwhile_is_left_to_its_next_owner(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_reports, "CHUNK_ROWS", 3)
    report = harness.publisher.publish_report_event

    async def revoke_and_publish(event: ReportEvent, topic: TopicSpec) -> Any:
        harness.owned_partitions.partitions[1].revoked.set()
        return await report(event, topic)

    monkeypatch.setattr(harness.publisher, "publish_report_event", revoke_and_publish)
    event = await ask(harness, PART)

    assert len(harness.publisher.reports) == 1
    assert harness.requested_parts() == [PART]
    assert event.acks == 1


async def test_the_deadline_of_a_part_is_that_of_its_report(harness: Harness) -> None:
    long_ago = NOW - harness.settings.report_deadline - SECOND
    harness.applied_offsets.caught_up.clear()

    await ask(harness, FleetPartRequest(REPORT, 1, PARTITIONS, NOW, long_ago))
    await settle()

    assert "deadline" in harness.reason()


async def test_a_part_of_a_partition_that_does_not_exist_fails(harness: Harness) -> None:
    await ask(harness, FleetPartRequest(REPORT, 99, PARTITIONS, NOW, NOW))

    assert harness.reason() == "there is no partition 99"


async def test_other_tasks_run_while_a_part_is_computed(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_calculator, "MAX_TURN_STORES", 1)
    turns = 0

    async def count() -> None:
        nonlocal turns
        while not harness.publisher.reports:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    await ask(harness, PART)
    await counting

    assert turns >= len(STORES)


# -- the cost of a part


async def test_a_schedule_is_expanded_once_for_all_stores_and_parts(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    expanded: list[Any] = []

    def expand(hours: Any, tz: Any, start: int, end: int) -> Any:
        expanded.append((hours, str(tz)))
        return opening_edges(hours, tz, start, end)

    monkeypatch.setattr(report_calculator, "opening_edges", expand)
    report_calculator._edges.cache_clear()
    weekdays = [(day, "09:00", "17:00") for day in range(5)]
    for number, store in enumerate(STORES):
        # the same hours have other bytes when their rows are in another order
        rows = weekdays if number % 2 else weekdays[::-1]
        harness.facts.content[1, store_key(store) + HOURS_TAG] = encode_rows(rows)
    other_store = store_in(2)
    harness.owned_partitions.own(2, store_key(other_store))
    harness.facts.content[2, store_key(other_store) + HOURS_TAG] = encode_rows(weekdays)

    await ask(harness, PART)
    await ask(harness, replace(PART, part=2), partition=2)

    assert expanded == [(WeeklyHours.from_rows(weekdays), "America/Chicago")]


async def test_the_facts_of_all_stores_of_a_turn_are_one_scan_of_the_table(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_calculator, "MAX_TURN_STORES", 4)
    scans: list[tuple[int, int]] = []
    scan = FakePartitionFacts.scan_stores

    def scan_stores(
        facts: FakePartitionFacts, stores: Iterable[bytes], suffixes: Sequence[bytes]
    ) -> Iterator[tuple[bytes, list[bytes | None]]]:
        scanned = list(scan(facts, stores, suffixes))
        scans.append((len(scanned), len(suffixes)))
        return iter(scanned)

    monkeypatch.setattr(FakePartitionFacts, "scan_stores", scan_stores)

    await ask(harness, PART)

    # hours, zone, the hot and the warm bucket, and two weeks; at the end there is nothing more
    assert scans == [(4, 6), (3, 6), (0, 6)]


async def test_a_turn_with_many_polls_has_few_stores(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_calculator, "MAX_TURN_BYTES", 16)
    turns: list[int] = []

    def build(spec: Any, store_ids: Any, *arguments: Any) -> Any:
        turns.append(len(store_ids))
        return build_columns(spec, store_ids, *arguments)

    monkeypatch.setattr(report_calculator, "build_columns", build)

    await ask(harness, PART)

    assert turns == [2, 2, 2, 1]


# -- other forms


async def test_a_daily_report_has_a_row_for_each_store_and_day_in_chunks_of_few_stores(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_reports, "CHUNK_ROWS", 10)
    form = ReportSpec(duration=2 * DAY, daily=True)

    await ask(harness, replace(PART, spec=form))
    chunks = [event.chunk for event in harness.publisher.reports if event.chunk is not None]

    # a store has three local days here, and may have four: ten rows have room for two stores
    assert [len({row[0] for row in chunk.rows}) for chunk in chunks] == [2, 2, 2, 1]
    rows = [row for chunk in chunks for row in chunk.rows]
    assert [row[0] for row in rows] == [store for store in STORES for _ in range(3)]
    assert {chunk.columns for chunk in chunks} == {form.columns}
    up = form.columns.index("uptime_minutes")
    assert sum(row[up] for row in rows if row[0] == STORES[0]) == 180
    # the poll covers two hours of three
    assert sum(row[-2] for row in rows if row[0] == STORES[0]) == 60
    assert [event.chunk for event in harness.publisher.reports] == chunks


async def test_a_part_is_bounded(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    form = ReportSpec(duration=2 * DAY, daily=True)
    monkeypatch.setattr(fleet_reports, "MAX_PART_ROWS", 4 * len(STORES))
    await ask(harness, replace(PART, spec=form))
    assert harness.publisher.reports

    monkeypatch.setattr(fleet_reports, "MAX_PART_ROWS", 4 * len(STORES) - 1)
    harness.publisher.reports.clear()
    await ask(harness, replace(PART, spec=form))
    assert "ask for a shorter time" in harness.reason()


async def test_a_report_with_one_row_for_each_store_has_as_many_chunks_as_it_needs(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_reports, "MAX_PART_ROWS", 1)
    monkeypatch.setattr(fleet_reports, "CHUNK_ROWS", 2)
    await ask(harness, PART)
    chunks = [event.chunk for event in harness.publisher.reports if event.chunk is not None]
    assert [len(chunk.rows) for chunk in chunks] == [2, 2, 2, 1]
    assert {chunk.chunks for chunk in chunks} == {4}


async def test_a_store_that_is_removed_meanwhile_fails_no_report(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_reports, "CHUNK_ROWS", 2)
    monkeypatch.setattr(report_calculator, "MAX_TURN_STORES", 1)
    report = harness.publisher.publish_report_event

    async def remove_another(
        event: ReportEvent, topic: TopicSpec = REPORT_RESULTS
    ) -> asyncio.Future[Any]:
        harness.owned_partitions.partitions[1].stores.discard(store_key(STORES[4]))
        return await report(event, topic)

    harness.publisher.publish_report_event = remove_another  # type: ignore[method-assign]
    await ask(harness, PART)
    chunks = [event.chunk for event in harness.publisher.reports if event.chunk is not None]
    assert [row[0] for chunk in chunks for row in chunk.rows] == [
        store for store in STORES if store != STORES[4]
    ]
    assert len(chunks) == chunks[0].chunks

    # a store that the request names must exist
    harness.publisher.reports.clear()
    await ask(harness, replace(PART, store_ids=(STORES[4],)))
    assert "is unknown" in harness.reason()


async def test_an_impossible_time_range_fails_before_any_part_is_requested(
    harness: Harness,
) -> None:
    await ask(harness, FleetRequest(REPORT, reference_time=NOW, spec=ReportSpec(start=NOW)))
    assert "is not before the end" in harness.reason()
    assert harness.requested_parts() == []


async def test_parts_are_requested_in_the_form_of_the_whole_report(harness: Harness) -> None:
    form = ReportSpec(start=NOW - DAY, exact=True)
    await ask(harness, FleetRequest(REPORT, reference_time=NOW, spec=form))
    assert {part.spec for part in harness.requested_parts()} == {form}
    assert len(harness.requested_parts()) == PARTITIONS


async def test_a_query_is_requested_and_answered_on_its_own_topics(harness: Harness) -> None:
    for request, partition in ((FleetRequest(REPORT, reference_time=NOW), 1), (PART, 1)):
        message = FakeMessage(
            encode_request(request), topic=STORE_QUERIES.name, partition=partition
        )
        agent = asyncio.create_task(harness.reports.requests(FakeStream([FakeEvent(message)])))
        await settle()
        await agent

    assert {forwarded.topic for forwarded in harness.publisher.forwarded} == {STORE_QUERIES.name}
    assert set(harness.publisher.topics) == {QUERY_RESULTS.name}
    assert [event.status for event in harness.publisher.reports] == ["running", "running"]


@pytest.mark.parametrize("named", [False, True])
async def test_a_store_whose_polls_are_no_longer_kept_is_named(
    harness: Harness, named: bool
) -> None:
    store = STORES[1]
    # a poll of that time would be in the same slot as the only poll of this store
    old = NOW - 3 * HOUR - 64 * WEEK
    for other in STORES:
        if other != store:
            del harness.facts.content[1, bucket_key(store_key(other), HOT)]

    await ask(
        harness, FleetPartRequest(REPORT, 1, 1, old, NOW, tuple(STORES[:3]) if named else None)
    )

    (report_event,) = harness.publisher.reports
    assert report_event.status == "failed"
    assert report_event.reason == (
        f"store {store}: the polls of that time are no longer kept: the store has polls more than "
        "STORE_UPTIME_RETENTION newer"
    )
