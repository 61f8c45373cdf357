"""Reports of many stores: asked for in parts of one reference time, told in pieces."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from stream_app.contracts.business_hours import encode_rows, hours_version
from stream_app.contracts.report_requests import (
    FleetRequest,
    PartRequest,
    decode_request,
    encode_request,
)
from stream_app.contracts.topics import (
    QUERY_RESULTS,
    REPORT_REQUESTS,
    SOURCE_TOPICS,
    STORE_QUERIES,
)
from stream_app.domain.poll_buckets import HOT
from stream_app.domain.polls import poll_set, to_bytes
from stream_app.domain.report import CSV_HEADER
from stream_app.domain.report_spec import ReportSpec
from stream_app.domain.timestamps import DAY, HOUR, SECOND, WEEK
from stream_app.worker.agents import fleet_reports
from stream_app.worker.agents.caught_up_facts import CaughtUpFacts
from stream_app.worker.agents.reports import Reports
from stream_app.worker.commit_tracker import CommitTracker
from stream_app.worker.facts.keys import HOURS_TAG, ZONE_TAG, bucket_key, store_key
from stream_app.worker.report_document import common_provenance, extra_columns
from tests.agent_fakes import (
    NOW,
    PARTITIONS,
    Failures,
    FakeAppliedOffsets,
    FakeEvent,
    FakeFacts,
    FakeMessage,
    FakeOwnedPartitions,
    FakeStream,
    RecordingPublisher,
    settings_with,
    settle,
    store_in,
)

if TYPE_CHECKING:
    from stream_app.contracts.report_results import ReportEvent
    from stream_app.contracts.topics import TopicSpec

REPORT = str(UUID(int=77))
STORES = sorted(store_in(1, number) for number in range(7))
PART = PartRequest(REPORT, 1, PARTITIONS, NOW, NOW - SECOND)


class Desk:
    """A `Reports` among fakes, owning partition 1 with seven stores that were up for 3 hours."""

    def __init__(self, **overrides: Any) -> None:
        self.settings = settings_with(**overrides)
        self.facts = FakeFacts()
        self.owned_partitions = FakeOwnedPartitions(self.facts)
        self.partition = self.owned_partitions.own(1, *map(store_key, STORES))
        for store in STORES:
            key = bucket_key(store_key(store), HOT)
            self.facts.content[1, key] = to_bytes(poll_set([(NOW - 3 * HOUR, True)]))
        self.progress = FakeAppliedOffsets()
        self.publisher = RecordingPublisher()
        self.failures = Failures()
        self.reports = Reports(
            self.settings,
            CaughtUpFacts(
                self.settings,
                self.owned_partitions,  # type: ignore[arg-type]
                self.progress,  # type: ignore[arg-type]
            ),
            self.publisher,  # type: ignore[arg-type]
            lambda: NOW,
            CommitTracker(),
            self.failures,
        )

    async def ask(self, request: FleetRequest | PartRequest, partition: int = 1) -> FakeEvent:
        event = FakeEvent(
            FakeMessage(encode_request(request), topic=REPORT_REQUESTS.name, partition=partition)
        )
        self.agent = asyncio.create_task(self.reports.requests(FakeStream([event])))
        await settle()
        return event

    def asked_for(self) -> list[PartRequest]:
        """The parts that were asked for, each on its partition and under the report's id."""
        parts = []
        for passed in self.publisher.forwarded:
            part = decode_request(passed.value)
            assert isinstance(part, PartRequest)
            assert (passed.topic, passed.partition) == (REPORT_REQUESTS.name, part.part)
            assert passed.key == REPORT
            parts.append(part)
        return parts

    def told(self) -> list[ReportEvent]:
        assert all(event.report_id == REPORT for event in self.publisher.reports)
        return self.publisher.reports

    def reason(self) -> str:
        (failed,) = [event for event in self.told() if event.status == "failed"]
        return failed.reason or ""


@pytest.fixture
async def desk() -> Desk:
    return Desk()


# -- who takes the request


async def test_every_partition_is_asked_for_a_part_of_one_reference_time(desk: Desk) -> None:
    desk.progress.newest = NOW - DAY

    event = await desk.ask(FleetRequest(REPORT))

    assert desk.asked_for() == [
        PartRequest(REPORT, part, PARTITIONS, NOW - DAY, NOW) for part in range(PARTITIONS)
    ]
    assert [each.status for each in desk.told()] == ["running"]
    assert event.acks == 1


async def test_the_reference_time_is_asked_after_catching_up(desk: Desk) -> None:
    desk.progress.newest = NOW - DAY
    desk.progress.caught_up.clear()
    await desk.ask(FleetRequest(REPORT))
    assert desk.asked_for() == []

    desk.progress.newest = NOW - HOUR
    desk.progress.caught_up.set()
    await settle()

    assert {part.reference_time for part in desk.asked_for()} == {NOW - HOUR}


async def test_only_the_owners_of_named_stores_are_asked(desk: Desk) -> None:
    named = tuple(sorted([store_in(0), store_in(3), store_in(3, 1)]))

    await desk.ask(FleetRequest(REPORT, named, reference_time=NOW))

    parts = {part.part: part for part in desk.asked_for()}
    assert {part.parts for part in parts.values()} == {2}
    assert parts[0].store_ids == (store_in(0),)
    assert parts[3].store_ids == tuple(sorted([store_in(3), store_in(3, 1)]))


async def test_the_request_is_acknowledged_when_every_part_is_asked_for(desk: Desk) -> None:
    desk.publisher.sends.at_once = False

    event = await desk.ask(FleetRequest(REPORT, reference_time=NOW))
    asked, *parts = desk.publisher.sends.pending
    asked.set_result(None)
    for sent in parts[:-1]:
        sent.set_result(None)
    await settle()
    assert event.acks == 0
    parts[-1].set_result(None)
    await settle()

    assert event.acks == 1


async def test_without_any_poll_and_time_it_fails(desk: Desk) -> None:
    await desk.ask(FleetRequest(REPORT))

    assert "no poll of any store has come in yet" in desk.reason()
    assert desk.asked_for() == []


async def test_a_request_whose_partition_goes_is_asked_again_with_its_time(desk: Desk) -> None:
    desk.progress.caught_up.clear()
    event = await desk.ask(FleetRequest(REPORT))

    desk.partition.revoked.set()
    await settle()

    (passed,) = desk.publisher.forwarded
    assert decode_request(passed.value) == FleetRequest(REPORT, requested_at=NOW)
    assert passed.partition == 1
    assert event.acks == 1


# -- who owns a part


async def test_a_part_is_all_stores_of_the_partition_in_order(desk: Desk) -> None:
    desk.facts.content[1, store_key(STORES[2]) + ZONE_TAG] = b"Asia/Kathmandu"
    desk.facts.content[1, store_key(STORES[3]) + HOURS_TAG] = encode_rows(
        [(day, "00:00", "00:00") for day in range(7)]
    )

    event = await desk.ask(PART)

    (told,) = desk.told()
    assert told.status == "running"
    piece = told.chunk
    assert piece is not None
    assert (piece.part, piece.parts, piece.chunk, piece.chunks) == (1, PARTITIONS, 0, 1)
    assert (piece.reference_time, piece.provenance) == (NOW, common_provenance(desk.settings))
    assert piece.input_offsets == {spec.name: 0 for spec in SOURCE_TOPICS}
    assert (piece.columns, piece.extra_columns) == (CSV_HEADER, extra_columns(ReportSpec()))
    assert [row[0] for row in piece.rows] == STORES
    two_hours_of_a_week = 0.011905
    basis = ["America/Chicago", hours_version(None), 1, two_hours_of_a_week, None]
    unknown = [60, 1.0, 1.0, 0, 21.0, 165.0]
    assert piece.rows[0] == [STORES[0], 60, 3.0, 3.0, 0, 21.0, 165.0, *basis, *unknown]
    assert piece.rows[2][7] == "Asia/Kathmandu"
    assert piece.rows[3][1:7] == [0, 0.0, 0.0, 0, 0.0, 0.0]
    assert event.acks == 1


async def test_a_large_part_comes_in_pieces_of_one_attempt(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_reports, "CHUNK_ROWS", 3)
    monkeypatch.setattr(fleet_reports, "YIELD_EVERY_STORES", 2)

    await desk.ask(PART)
    pieces = [event.chunk for event in desk.told() if event.chunk is not None]

    assert [(piece.chunk, piece.chunks) for piece in pieces] == [(0, 3), (1, 3), (2, 3)]
    assert len({piece.attempt for piece in pieces}) == 1
    assert [row[0] for piece in pieces for row in piece.rows] == STORES


async def test_making_a_part_again_is_another_attempt(desk: Desk) -> None:
    await desk.ask(PART)
    await desk.ask(PART)

    one, other = (event.chunk for event in desk.told())
    assert one is not None
    assert other is not None
    assert one.attempt != other.attempt


async def test_a_part_without_stores_is_told_too(desk: Desk) -> None:
    desk.owned_partitions.own(2)

    await desk.ask(PartRequest(REPORT, 2, PARTITIONS, NOW, NOW), partition=2)

    (told,) = desk.told()
    assert told.chunk is not None
    assert (told.chunk.rows, told.chunk.chunks) == ([], 1)


async def test_a_part_of_named_stores_has_no_others(desk: Desk) -> None:
    await desk.ask(PartRequest(REPORT, 1, 1, NOW, NOW, tuple(STORES[2:4])))

    (told,) = desk.told()
    assert told.chunk is not None
    assert [row[0] for row in told.chunk.rows] == STORES[2:4]


async def test_an_unknown_store_fails_the_report(desk: Desk) -> None:
    unknown = store_in(1, 50)

    await desk.ask(PartRequest(REPORT, 1, 1, NOW, NOW, (STORES[0], unknown)))

    assert f"store {unknown} is unknown" in desk.reason()


async def test_a_part_waits_for_all_that_was_acknowledged_before(desk: Desk) -> None:
    desk.progress.caught_up.clear()
    await desk.ask(PART)
    assert desk.told() == []

    desk.progress.caught_up.set()
    await settle()

    assert len(desk.told()) == 1


async def test_a_part_that_another_worker_owns_now_is_passed_on(desk: Desk) -> None:
    event = await desk.ask(PART, partition=0)

    (part,) = desk.asked_for()
    assert part == PART
    assert desk.told() == []
    assert event.acks == 1


async def test_a_part_whose_partition_goes_in_the_middle_is_made_by_its_next_owner(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_reports, "CHUNK_ROWS", 3)
    report = desk.publisher.publish_report_event

    async def lose_it(event: ReportEvent, topic: TopicSpec) -> Any:
        desk.partition.revoked.set()
        return await report(event, topic)

    monkeypatch.setattr(desk.publisher, "publish_report_event", lose_it)
    event = await desk.ask(PART)

    assert len(desk.told()) == 1
    assert desk.asked_for() == [PART]
    assert event.acks == 1


async def test_the_deadline_of_a_part_is_the_reports(desk: Desk) -> None:
    long_ago = NOW - desk.settings.report_deadline - SECOND
    desk.progress.caught_up.clear()

    await desk.ask(PartRequest(REPORT, 1, PARTITIONS, NOW, long_ago))
    await settle()

    assert "deadline" in desk.reason()


async def test_a_part_of_no_partition_fails(desk: Desk) -> None:
    await desk.ask(PartRequest(REPORT, 99, PARTITIONS, NOW, NOW))

    assert desk.reason() == "there is no partition 99"


async def test_others_get_their_turn_while_a_part_is_made(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_reports, "YIELD_EVERY_STORES", 1)
    turns = 0

    async def count() -> None:
        nonlocal turns
        while not desk.told():
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    await desk.ask(PART)
    await counting

    assert turns >= len(STORES)


# -- other forms


async def test_a_report_by_days_has_a_row_a_store_and_day_in_pieces_of_few_stores(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_reports, "CHUNK_ROWS", 10)
    form = ReportSpec(duration=2 * DAY, daily=True)

    await desk.ask(replace(PART, form=form))
    pieces = [event.chunk for event in desk.told() if event.chunk is not None]

    # three local days each, four at the most: two stores a piece
    assert [len({row[0] for row in piece.rows}) for piece in pieces] == [2, 2, 2, 1]
    rows = [row for piece in pieces for row in piece.rows]
    assert [row[0] for row in rows] == [store for store in STORES for _ in range(3)]
    assert {piece.columns for piece in pieces} == {form.columns}
    up = form.columns.index("uptime_minutes")
    assert sum(row[up] for row in rows if row[0] == STORES[0]) == 180
    # the poll speaks for two hours of three
    assert sum(row[-2] for row in rows if row[0] == STORES[0]) == 60
    assert [event.chunk for event in desk.told()] == pieces


async def test_a_part_is_bounded(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    form = ReportSpec(duration=2 * DAY, daily=True)
    monkeypatch.setattr(fleet_reports, "MAX_PART_ROWS", 4 * len(STORES))
    await desk.ask(replace(PART, form=form))
    assert desk.told()

    monkeypatch.setattr(fleet_reports, "MAX_PART_ROWS", 4 * len(STORES) - 1)
    desk.publisher.reports.clear()
    await desk.ask(replace(PART, form=form))
    assert "ask for a shorter time" in desk.reason()


async def test_a_report_with_a_row_a_store_has_as_many_pieces_as_it_needs(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_reports, "MAX_PART_ROWS", 1)
    monkeypatch.setattr(fleet_reports, "CHUNK_ROWS", 2)
    await desk.ask(PART)
    pieces = [event.chunk for event in desk.told() if event.chunk is not None]
    assert [len(piece.rows) for piece in pieces] == [2, 2, 2, 1]
    assert {piece.chunks for piece in pieces} == {4}


async def test_a_store_that_is_removed_meanwhile_fails_no_report(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_reports, "CHUNK_ROWS", 2)
    monkeypatch.setattr(fleet_reports, "YIELD_EVERY_STORES", 1)
    report = desk.publisher.publish_report_event

    async def remove_another(event: ReportEvent, topic: TopicSpec) -> Any:
        desk.partition.stores.discard(store_key(STORES[4]))
        return await report(event, topic)

    desk.publisher.publish_report_event = remove_another  # type: ignore[method-assign]
    await desk.ask(PART)
    pieces = [event.chunk for event in desk.told() if event.chunk is not None]
    assert [row[0] for piece in pieces for row in piece.rows] == [
        store for store in STORES if store != STORES[4]
    ]
    assert len(pieces) == pieces[0].chunks

    # one that was named is missing
    desk.publisher.reports.clear()
    await desk.ask(replace(PART, store_ids=(STORES[4],)))
    assert "is unknown" in desk.reason()


async def test_a_time_that_cannot_be_fails_before_any_part_is_asked_for(desk: Desk) -> None:
    await desk.ask(FleetRequest(REPORT, reference_time=NOW, form=ReportSpec(start=NOW)))
    assert "is not before the end" in desk.reason()
    assert desk.asked_for() == []


async def test_parts_are_asked_for_in_the_form_of_the_whole(desk: Desk) -> None:
    form = ReportSpec(start=NOW - DAY, exact=True)
    await desk.ask(FleetRequest(REPORT, reference_time=NOW, form=form))
    assert {part.form for part in desk.asked_for()} == {form}
    assert len(desk.asked_for()) == PARTITIONS


async def test_a_query_is_asked_and_told_on_its_own_topics(desk: Desk) -> None:
    for request, partition in ((FleetRequest(REPORT, reference_time=NOW), 1), (PART, 1)):
        message = FakeMessage(
            encode_request(request), topic=STORE_QUERIES.name, partition=partition
        )
        agent = asyncio.create_task(desk.reports.requests(FakeStream([FakeEvent(message)])))
        await settle()
        await agent

    assert {passed.topic for passed in desk.publisher.forwarded} == {STORE_QUERIES.name}
    assert set(desk.publisher.topics) == {QUERY_RESULTS.name}
    assert [event.status for event in desk.publisher.reports] == ["running", "running"]


@pytest.mark.parametrize("named", [False, True])
async def test_a_store_whose_polls_are_gone_is_named(desk: Desk, named: bool) -> None:
    store = STORES[1]
    # in one slot with the only poll of this store
    old = NOW - 3 * HOUR - 64 * WEEK
    for other in STORES:
        if other != store:
            del desk.facts.content[1, bucket_key(store_key(other), HOT)]

    await desk.ask(PartRequest(REPORT, 1, 1, old, NOW, tuple(STORES[:3]) if named else None))

    (told,) = desk.told()
    assert told.status == "failed"
    assert told.reason == (
        f"store {store}: the polls of that time are no longer kept: the store has polls more than "
        "STORE_UPTIME_RETENTION newer"
    )
