"""Report requests: each ends exactly one way, and is acknowledged when that is in Kafka."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any
from uuid import UUID

import orjson
import pytest

from stream_app.contracts.business_hours import encode_rows, hours_version
from stream_app.contracts.report_requests import ReportRequest, decode_request, encode_request
from stream_app.contracts.revisions import Revision
from stream_app.contracts.topics import REPORT_REQUESTS, SOURCE_TOPICS, STORE_QUERIES, STORE_STATUS
from stream_app.domain.poll_buckets import BucketLayout
from stream_app.domain.polls import from_bytes, poll_set, to_bytes
from stream_app.domain.report import CSV_HEADER
from stream_app.domain.report_spec import ReportSpec
from stream_app.domain.timestamps import DAY, HOUR, MINUTE, SECOND, WEEK, format_instant
from stream_app.errors import BrokerUnavailableError, RevokedError, TableError
from stream_app.kafka.offset_tracker import OffsetTracker
from stream_app.worker import store_details
from stream_app.worker.agents import caught_up_facts
from stream_app.worker.agents.caught_up_facts import CaughtUpFacts
from stream_app.worker.agents.reports import MAX_AT_ONCE, Reports
from stream_app.worker.commit_tracker import CommitTracker
from stream_app.worker.facts.keys import (
    HOURS_TAG,
    ZONE_TAG,
    bucket_key,
    encode_fact,
    store_key,
)
from stream_app.worker.report_document import common_provenance
from tests.agent_fakes import (
    NOW,
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

STORE = store_in(0)
KEY = store_key(STORE)
REPORT = str(UUID(int=77))
SHORT_DEADLINE = 20_000  # µs


class Desk:
    """A `Reports` among fakes, owning partition 0 with one store in it."""

    def __init__(self, **overrides: Any) -> None:
        self.settings = settings_with(**overrides)
        self.facts = FakeFacts()
        self.owned_partitions = FakeOwnedPartitions(self.facts)
        self.partition = self.owned_partitions.own(0, KEY)
        self.progress = FakeAppliedOffsets()
        self.publisher = RecordingPublisher()
        self.commit_tracker = CommitTracker()
        self.failures = Failures()
        self.now = NOW
        self.reports = Reports(
            self.settings,
            CaughtUpFacts(
                self.settings,
                self.owned_partitions,  # type: ignore[arg-type]
                self.progress,  # type: ignore[arg-type]
            ),
            self.publisher,  # type: ignore[arg-type]
            lambda: self.now,
            self.commit_tracker,
            self.failures,
        )

    def add(self, *polls: tuple[int, bool]) -> None:
        layout = BucketLayout(self.settings.retention)
        for poll in polls:
            for write in layout.writes(poll_set([poll]), self._read):
                self.facts.content[0, bucket_key(KEY, write.bucket)] = to_bytes(write.polls)

    def _read(self, bucket: Any) -> Any:
        return from_bytes(self.facts.get(0, bucket_key(KEY, bucket)))

    async def ask(self, *requests: ReportRequest | bytes | None, **of_each: Any) -> list[FakeEvent]:
        """Hand out requests, and let all run that need not wait."""
        events = [
            FakeEvent(
                FakeMessage(
                    encode_request(request) if isinstance(request, ReportRequest) else request,
                    offset=offset,
                    **{"topic": REPORT_REQUESTS.name, **of_each},
                )
            )
            for offset, request in enumerate(requests)
        ]
        self.stream = FakeStream(events)
        self.agent = asyncio.create_task(self.reports.requests(self.stream))
        await settle()
        return events

    async def all_answered(self) -> None:
        await self.agent
        await asyncio.gather(*self.reports._tasks, return_exceptions=True)
        await settle()

    def statuses(self) -> list[str]:
        return [event.status for event in self.publisher.reports]

    def reason(self) -> str:
        (final,) = [e for e in self.publisher.reports if e.status != "running"]
        assert final.status == "failed"
        assert final.report_id == REPORT
        return final.reason or ""

    def report(self) -> dict[str, Any]:
        (final,) = [e for e in self.publisher.reports if e.status != "running"]
        assert final.status == "complete", final.reason
        assert final.report is not None
        return final.report.fields


def request(**fields: Any) -> ReportRequest:
    return ReportRequest(REPORT, STORE, **fields)


@pytest.fixture
async def desk() -> Desk:
    return Desk()


# -- complete


async def test_the_figures_come_from_the_table(desk: Desk) -> None:
    desk.add((NOW - 2 * HOUR, True), (NOW - 30 * MINUTE, False), (NOW + HOUR, True))

    (event,) = await desk.ask(request(reference_time=NOW))

    assert desk.statuses() == ["running", "complete"]
    assert desk.report() == {
        "store_id": STORE,
        "reference_time": format_instant(NOW),
        "uptime_last_hour": 30,
        "downtime_last_hour": 30,
        "uptime_last_day": 1.5,
        "downtime_last_day": 22.5,
        "uptime_last_week": 1.5,
        "downtime_last_week": 166.5,
        "unknown_uptime_last_hour": 0,
        "unknown_uptime_last_day": 0.0,
        "unknown_uptime_last_week": 0.0,
        "unknown_downtime_last_hour": 0,
        "unknown_downtime_last_day": 22.0,
        "unknown_downtime_last_week": 166.0,
        "timezone": "America/Chicago",
        "business_hours": None,
        "hours_version": hours_version(None),
        **common_provenance(desk.settings),
        "polls_counted": 2,
        # each poll speaks for two hours, and the second one only for half an hour yet
        "coverage": round(2 / 168, 6),
        "input_offsets": {spec.name: {"0": 0} for spec in SOURCE_TOPICS},
        "columns": CSV_HEADER,
    }
    assert event.acks == 1


@pytest.mark.parametrize("of_an_earlier_version", [False, True])
async def test_hours_and_zone_come_from_the_table(desk: Desk, of_an_earlier_version: bool) -> None:
    desk.add((NOW - WEEK - MINUTE, True))
    rows = [(day, "09:00", "17:30") for day in range(7)]
    for tag, content in ((ZONE_TAG, b"Asia/Kathmandu"), (HOURS_TAG, encode_rows(rows))):
        desk.facts.content[0, KEY + tag] = (
            content if of_an_earlier_version else encode_fact(Revision(5, 7), content)
        )

    await desk.ask(request(reference_time=NOW))

    assert desk.report()["timezone"] == "Asia/Kathmandu"
    assert desk.report()["uptime_last_week"] == 7 * 8.5
    assert desk.report()["hours_version"] == hours_version(encode_rows(rows))


async def test_a_poll_as_old_as_the_lookback_allows_still_counts(desk: Desk) -> None:
    desk.add((NOW - WEEK - HOUR, True))

    await desk.ask(request(reference_time=NOW))

    assert desk.report()["uptime_last_week"] == 168.0


async def test_an_event_is_acknowledged_when_its_result_is_stored(desk: Desk) -> None:
    desk.publisher.sends.at_once = False

    (event,) = await desk.ask(request(reference_time=NOW))
    assert desk.statuses() == ["running", "complete"]
    desk.publisher.sends.arrive(0)
    await settle()
    assert event.acks == 0
    desk.publisher.sends.arrive(1)
    await settle()

    assert event.acks == 1


async def test_a_result_that_is_not_stored_ends_the_worker(desk: Desk) -> None:
    desk.publisher.sends.at_once = False
    (event,) = await desk.ask(request(reference_time=NOW))
    error = OSError("lost")

    desk.publisher.sends.pending[-1].set_exception(error)
    await settle()

    assert event.acks == 0
    assert desk.failures.errors == [error]


async def test_a_broker_that_takes_nothing_ends_the_worker(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = OSError("full")

    async def report(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(desk.publisher, "publish_report_event", report)
    (event,) = await desk.ask(request(reference_time=NOW))

    assert event.acks == 0
    assert desk.failures.errors == [error]


# -- the reference time


async def test_without_a_time_it_is_the_newest_poll_of_all_stores(desk: Desk) -> None:
    desk.progress.newest = NOW - 3 * DAY

    await desk.ask(request())

    assert desk.report()["reference_time"] == format_instant(NOW - 3 * DAY)


async def test_the_newest_poll_is_asked_after_catching_up(desk: Desk) -> None:
    desk.progress.caught_up.clear()
    desk.progress.newest = NOW - DAY
    await desk.ask(request())
    desk.progress.newest = NOW - HOUR
    desk.progress.caught_up.set()
    await desk.all_answered()

    assert desk.report()["reference_time"] == format_instant(NOW - HOUR)


async def test_by_the_wall_clock_it_is_the_time_of_the_request() -> None:
    desk = Desk(reference_clock="wall")
    desk.progress.newest = NOW - 3 * DAY
    desk.now = NOW + SECOND

    await desk.ask(request())

    assert desk.report()["reference_time"] == format_instant(NOW)


@pytest.mark.parametrize("clock", ["data", "wall"])
async def test_a_time_that_the_request_names_wins(clock: str) -> None:
    desk = Desk(reference_clock=clock)
    desk.progress.newest = NOW - 3 * DAY

    await desk.ask(request(reference_time=NOW - 5 * DAY))

    assert desk.report()["reference_time"] == format_instant(NOW - 5 * DAY)


async def test_no_poll_at_all_and_no_time_named_fails(desk: Desk) -> None:
    (event,) = await desk.ask(request())

    assert "no poll of any store has come in yet" in desk.reason()
    assert event.acks == 1


# -- failed


async def test_an_unknown_store_fails(desk: Desk) -> None:
    await desk.ask(ReportRequest(REPORT, store_in(0, 1), NOW))

    assert "is unknown" in desk.reason()


async def test_a_time_whose_polls_are_no_longer_kept_fails(desk: Desk) -> None:
    ring = BucketLayout(desk.settings.retention).cold_slots
    desk.add((NOW - ring * WEEK, True), (NOW, True))

    await desk.ask(request(reference_time=NOW - ring * WEEK))

    assert "no longer kept" in desk.reason()


async def test_a_broken_table_fails_the_report(desk: Desk) -> None:
    desk.facts.content[0, KEY + HOURS_TAG] = b"broken"

    (event,) = await desk.ask(request(reference_time=NOW))

    assert desk.reason().startswith("internal error")
    assert event.acks == 1


@pytest.mark.parametrize("topic", [REPORT_REQUESTS.name, STORE_QUERIES.name])
async def test_a_misspelt_field_fails_the_report_and_is_kept(desk: Desk, topic: str) -> None:
    content = {"report_id": REPORT, "store_id": STORE, "referenceTime": "2023-01-25T00:00:00Z"}
    await desk.ask(orjson.dumps(content), topic=topic)
    await desk.all_answered()
    assert desk.statuses() == ["failed"]
    assert desk.reason().startswith("unknown fields: 'referenceTime'; known are report_id, ")
    (letter,) = desk.publisher.letters
    assert letter.reason == desk.reason()
    assert letter.source["topic"] == topic


async def test_the_deadline_passes_while_it_waits() -> None:
    desk = Desk(report_deadline=SHORT_DEADLINE)
    desk.progress.caught_up.clear()

    (event,) = await desk.ask(request(reference_time=NOW))
    await desk.all_answered()

    assert desk.reason() == "not complete within the deadline of 20ms"
    assert event.acks == 1
    assert desk.progress.waiting == 0


async def test_the_deadline_counts_from_the_first_request(desk: Desk) -> None:
    long_ago = NOW - desk.settings.report_deadline - SECOND
    desk.progress.caught_up.clear()

    await desk.ask(request(reference_time=NOW, requested_at=long_ago))
    await desk.all_answered()

    assert "deadline" in desk.reason()


async def test_a_request_cannot_put_its_deadline_off() -> None:
    desk = Desk(report_deadline=SHORT_DEADLINE)
    desk.progress.caught_up.clear()

    await desk.ask(request(reference_time=NOW, requested_at=NOW + 365 * DAY))
    await desk.all_answered()

    assert "deadline" in desk.reason()


async def test_a_broker_out_of_reach_is_asked_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caught_up_facts, "_RETRY_SECONDS", 0)
    desk.progress.errors = [BrokerUnavailableError("gone"), BrokerUnavailableError("gone")]

    await desk.ask(request(reference_time=NOW))

    assert desk.progress.calls == 3
    assert desk.statuses() == ["running", "complete"]


async def test_a_broker_out_of_reach_until_the_deadline_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(caught_up_facts, "_RETRY_SECONDS", 0)
    desk = Desk(report_deadline=SHORT_DEADLINE)
    desk.progress.errors = [BrokerUnavailableError("gone")] * 1_000_000

    await desk.ask(request(reference_time=NOW))
    await desk.all_answered()

    assert "deadline" in desk.reason()


# -- read your writes


async def test_nothing_is_read_before_the_workers_have_caught_up(desk: Desk) -> None:
    desk.progress.caught_up.clear()
    (event,) = await desk.ask(request(reference_time=NOW))
    assert desk.statuses() == ["running"]
    assert event.acks == 0

    desk.add((NOW - 30 * MINUTE, True))
    desk.progress.caught_up.set()
    await desk.all_answered()

    assert desk.report()["uptime_last_hour"] == 30
    assert event.acks == 1


@pytest.mark.parametrize("spec", SOURCE_TOPICS, ids=lambda spec: spec.name)
async def test_what_a_crashed_owner_had_applied_is_waited_for_here(desk: Desk, spec: Any) -> None:
    # its watermark says 5, and everybody has heard it; this owner resumes at what was committed
    desk.progress.highwaters = {(spec.name, 0): 5, (spec.name, 1): 9}
    desk.partition.offset_trackers[spec.name] = OffsetTracker(3)
    (event,) = await desk.ask(request(reference_time=NOW))
    assert desk.statuses() == ["running"]

    for applied in (4, 5):
        assert event.acks == 0
        desk.add((NOW - 30 * MINUTE, True))
        desk.partition.offset_trackers[spec.name].skip_to(applied)
        desk.partition.moved.set()
        await settle()

    assert desk.report()["uptime_last_hour"] == 30
    assert event.acks == 1


async def test_a_database_that_cannot_be_read_fails_no_report(desk: Desk) -> None:
    """The worker ends with the request unacknowledged: who owns the partition next answers it."""

    def get(_partition: int, _key: bytes) -> bytes:
        raise error

    desk.facts.get = get  # type: ignore[method-assign]
    error = TableError("Corruption: block checksum mismatch")
    (event,) = await desk.ask(request(reference_time=NOW))

    assert desk.statuses() == ["running"]
    assert event.acks == 0
    assert desk.failures.errors == [error]


# -- the partition moves


async def test_a_request_whose_partition_is_taken_away_goes_back_with_its_time(
    desk: Desk,
) -> None:
    desk.progress.caught_up.clear()
    desk.publisher.sends.at_once = False
    (event,) = await desk.ask(request(reference_time=NOW - DAY))

    desk.partition.revoked.set()
    await settle()

    (again,) = desk.publisher.forwarded
    assert (again.topic, again.partition, again.key) == (REPORT_REQUESTS.name, 0, STORE)
    assert decode_request(again.value) == request(reference_time=NOW - DAY, requested_at=NOW)
    assert event.acks == 0
    desk.publisher.sends.arrive()
    await settle()
    assert event.acks == 1
    assert desk.statuses() == ["running"]
    assert desk.progress.waiting == 0


async def test_a_partition_that_is_fenced_while_it_is_read_fails_no_report(desk: Desk) -> None:
    def get(partition: int, _key: bytes) -> bytes:
        raise RevokedError(f"partition {partition} is not open in this worker")

    desk.facts.get = get  # type: ignore[method-assign]
    (event,) = await desk.ask(request(reference_time=NOW))

    assert [decode_request(again.value) for again in desk.publisher.forwarded] == [
        request(reference_time=NOW, requested_at=NOW)
    ]
    assert desk.statuses() == ["running"]
    assert event.acks == 1
    assert desk.failures.errors == []


@pytest.mark.parametrize("turns", range(8))
async def test_a_partition_revoked_as_the_wait_ends_is_not_read(desk: Desk, turns: int) -> None:
    read_when_revoked: list[bytes] = []
    get = desk.facts.get

    def watched(partition: int, key: bytes) -> bytes | None:
        if desk.partition.revoked.is_set():
            read_when_revoked.append(key)
        return get(partition, key)

    desk.facts.get = watched  # type: ignore[method-assign]
    desk.progress.caught_up.clear()
    (event,) = await desk.ask(request(reference_time=NOW))

    desk.progress.caught_up.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    desk.partition.revoked.set()
    await desk.all_answered()

    assert read_when_revoked == []
    assert len(desk.publisher.forwarded) + desk.statuses().count("complete") == 1
    assert event.acks == 1


async def test_the_time_of_the_first_request_is_kept_over_several_moves(desk: Desk) -> None:
    desk.owned_partitions.owned.clear()

    await desk.ask(request(requested_at=NOW - SECOND))

    (again,) = desk.publisher.forwarded
    assert decode_request(again.value).requested_at == NOW - SECOND


async def test_a_request_on_a_wrong_partition_is_passed_on(desk: Desk) -> None:
    store = store_in(3)

    (event,) = await desk.ask(ReportRequest(REPORT, store, NOW - DAY))

    (again,) = desk.publisher.forwarded
    assert (again.topic, again.partition, again.key) == (REPORT_REQUESTS.name, 3, store)
    assert decode_request(again.value) == ReportRequest(REPORT, store, NOW - DAY, NOW)
    assert desk.publisher.reports == []
    assert event.acks == 1


# -- what is no request


async def test_what_cannot_be_read_becomes_a_dead_letter(desk: Desk) -> None:
    desk.publisher.sends.at_once = False

    (event,) = await desk.ask(b"{}")

    (letter,) = desk.publisher.letters
    assert letter.source == {"topic": REPORT_REQUESTS.name, "partition": 0, "offset": 0}
    assert (letter.original, letter.key) == (b"{}", b"a key")
    assert letter.reason == "report_id is missing"
    assert desk.publisher.reports == []
    assert event.acks == 0
    desk.publisher.sends.arrive()
    await settle()
    assert event.acks == 1


BAD_REQUESTS = {
    "no store": {"report_id": REPORT},
    "a store that is no UUID": {"report_id": REPORT, "store_id": 7},
    "a wrong time": {"report_id": REPORT, "store_id": STORE, "reference_time": "soon"},
}


@pytest.mark.parametrize("content", BAD_REQUESTS.values(), ids=BAD_REQUESTS)
async def test_a_report_whose_id_can_be_read_fails(desk: Desk, content: dict[str, Any]) -> None:
    desk.publisher.sends.at_once = False

    (event,) = await desk.ask(orjson.dumps(content))

    assert desk.reason() == desk.publisher.letters[0].reason
    desk.publisher.sends.arrive(0)
    await settle()
    assert event.acks == 0
    desk.publisher.sends.arrive(1)
    await settle()
    assert event.acks == 1


async def test_a_request_that_breaks_the_decoder_does_not_end_the_worker(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decode(_value: bytes) -> None:
        raise RecursionError("too deep")

    monkeypatch.setattr("stream_app.worker.agents.reports.decode_request", decode)
    monkeypatch.setattr("stream_app.worker.agents.reports.report_id_of", decode)

    (event,) = await desk.ask(request())

    assert desk.publisher.letters[0].reason.startswith("internal error: RecursionError")
    assert event.acks == 1
    assert desk.failures.errors == []


# -- many at once


async def test_one_that_waits_keeps_no_other_back(desk: Desk) -> None:
    desk.progress.highwaters = {(STORE_STATUS.name, 0): 0}
    desk.progress.caught_up.clear()

    waiting, _ = await desk.ask(request(reference_time=NOW), b"{}")

    assert waiting.acks == 0
    assert len(desk.publisher.letters) == 1


async def test_so_many_at_once_and_no_more(desk: Desk) -> None:
    desk.progress.caught_up.clear()
    count = MAX_AT_ONCE + 10

    events = await desk.ask(*[request(reference_time=NOW)] * count)
    assert desk.progress.waiting == MAX_AT_ONCE
    assert desk.stream.taken == MAX_AT_ONCE + 1
    desk.progress.caught_up.set()
    await desk.all_answered()

    assert desk.progress.most_waiting == MAX_AT_ONCE
    assert [event.acks for event in events] == [1] * count


# -- what is told besides the figures


async def test_details_come_with_the_figures(desk: Desk) -> None:
    desk.add((NOW - 2 * HOUR, True), (NOW - 30 * MINUTE, False))

    await desk.ask(
        replace(request(reference_time=NOW), details=("windows", "timeline", "days", "incidents"))
    )

    told = desk.report()
    assert [window["uptime_minutes"] for window in told["windows"]] == [30, 90, 90]
    assert told["windows"][0] == {
        "name": "last_hour",
        "start": format_instant(NOW - HOUR),
        "end": format_instant(NOW),
        "uptime_minutes": 30,
        "downtime_minutes": 30,
        "unknown_uptime_minutes": 0,
        "unknown_downtime_minutes": 0,
        "coverage": 1.0,
    }
    assert told["windows"][1]["unknown_downtime_minutes"] == 22 * 60
    assert told["intervals"][-1] == {
        "start": format_instant(NOW - 30 * MINUTE),
        "end": format_instant(NOW),
        "open": True,
        "status": "inactive",
        "counted_as": "inactive",
    }
    assert told["intervals"][0]["status"] == "unknown"
    assert sum(day["uptime_minutes"] for day in told["local_days"]) == 90
    assert [incident["cause"] for incident in told["incidents"]] == ["reported", "silence"]
    assert told["incidents"][0]["downtime_seconds"] == 1800.0
    assert told["incidents"][0]["unknown_downtime_seconds"] == 0.0
    silence = told["incidents"][1]
    assert silence["unknown_downtime_seconds"] == silence["downtime_seconds"]
    assert sum(day["unknown_downtime_minutes"] for day in told["local_days"]) == 166 * 60
    assert [day["whole_day"] for day in told["local_days"]] == [False, *[True] * 6, False]
    assert told["incidents"][0]["ongoing"] is True


async def test_a_window_that_begins_before_the_time_asked_for_is_not_told(desk: Desk) -> None:
    form = ReportSpec(duration=DAY)
    await desk.ask(replace(request(reference_time=NOW), form=form, details=("windows",)))
    assert [window["name"] for window in desk.report()["windows"]] == ["last_hour", "last_day"]


async def test_a_timeline_that_fits_no_record_fails(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.add(*((NOW - number * MINUTE, number % 2 == 0) for number in range(20)))
    monkeypatch.setattr(store_details, "MAX_INTERVALS", 19)

    await desk.ask(replace(request(reference_time=NOW), details=("timeline",)))

    assert "ask for a shorter time" in desk.reason()


async def test_of_many_incidents_the_newest_are_told(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.add(*((NOW - number * MINUTE, number % 2 == 0) for number in range(20)))
    monkeypatch.setattr(store_details, "MAX_INCIDENTS", 3)

    await desk.ask(replace(request(reference_time=NOW), details=("incidents",)))

    starts = [incident["start"] for incident in desk.report()["incidents"]]
    assert starts == [format_instant(NOW - number * MINUTE) for number in (1, 3, 5)]


async def test_a_report_may_be_of_any_time(desk: Desk) -> None:
    desk.add((NOW - 20 * DAY, True), (NOW - 10 * DAY, False))
    form = ReportSpec(start=NOW - 15 * DAY, exact=True)

    await desk.ask(replace(request(reference_time=NOW - 5 * DAY), form=form))

    told = desk.report()
    # the poll of twenty days ago is beyond the lookback: before the first one the default counts
    assert (told["uptime_seconds"], told["downtime_seconds"]) == (0.0, 10 * DAY / SECOND)
    assert (told["polls_counted"], told["start"]) == (1, format_instant(NOW - 15 * DAY))


async def test_a_name_that_is_no_zone_is_told_beside_the_default_one(desk: Desk) -> None:
    name = "america/new_york"
    desk.facts.content[0, KEY + ZONE_TAG] = encode_fact(Revision(1, 0, 0), name.encode())
    await desk.ask(ReportRequest(REPORT, STORE, NOW))
    await desk.all_answered()
    report = desk.report()
    assert (report["timezone"], report["unknown_timezone"]) == ("America/Chicago", name)


@pytest.mark.parametrize("name", [None, b"America/New_York"])
async def test_a_zone_that_is_one_or_none_at_all_is_not_unknown(
    desk: Desk, name: bytes | None
) -> None:
    if name is not None:
        desk.facts.content[0, KEY + ZONE_TAG] = encode_fact(Revision(1, 0, 0), name)
    await desk.ask(ReportRequest(REPORT, STORE, NOW))
    await desk.all_answered()
    report = desk.report()
    assert "unknown_timezone" not in report
