"""Each report request ends in exactly one way, and is acknowledged when its result is in Kafka."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any
from uuid import UUID

import orjson
import pytest

from stream_app.contracts.business_hours import encode_rows, hours_version
from stream_app.contracts.report_requests import ReportRequest, decode_request
from stream_app.contracts.revisions import Revision
from stream_app.contracts.topics import REPORT_REQUESTS, SOURCE_TOPICS, STORE_QUERIES, STORE_STATUS
from stream_app.domain.poll_buckets import BucketLayout
from stream_app.domain.report import CSV_HEADER
from stream_app.domain.report_spec import ReportSpec
from stream_app.domain.timestamps import DAY, HOUR, MINUTE, SECOND, WEEK, format_instant
from stream_app.errors import BrokerUnavailableError, RevokedError, TableError
from stream_app.kafka.offset_tracker import OffsetTracker
from stream_app.worker import store_details
from stream_app.worker.agents import caught_up_facts
from stream_app.worker.agents.reports import MAX_AT_ONCE
from stream_app.worker.facts.keys import (
    HOURS_TAG,
    TIMEZONE_TAG,
    encode_fact,
    store_key,
)
from stream_app.worker.report_document import common_provenance
from tests.agent_fakes import (
    NOW,
    Harness,
    settle,
    store_in,
)

STORE = store_in(0)
KEY = store_key(STORE)
REPORT = str(UUID(int=77))
SHORT_DEADLINE = 20_000  # µs


def owning(**overrides: Any) -> Harness:
    """Return a worker that owns partition 0 with one store in it."""
    return Harness({0: [STORE]}, **overrides)


def request(**fields: Any) -> ReportRequest:
    return ReportRequest(REPORT, STORE, **fields)


@pytest.fixture
async def harness() -> Harness:
    return owning()


# -- complete


async def test_the_figures_come_from_the_table(harness: Harness) -> None:
    harness.add_polls(
        0, STORE, (NOW - 2 * HOUR, True), (NOW - 30 * MINUTE, False), (NOW + HOUR, True)
    )

    (event,) = await harness.request(request(reference_time=NOW))

    assert harness.statuses() == ["running", "complete"]
    assert harness.report() == {
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
        **common_provenance(harness.settings),
        "polls_counted": 2,
        # a poll covers two hours; of the second one only half an hour has passed
        "coverage": round(2 / 168, 6),
        "input_offsets": {spec.name: {"0": 0} for spec in SOURCE_TOPICS},
        "columns": CSV_HEADER,
    }
    assert event.acks == 1


@pytest.mark.parametrize("of_an_earlier_version", [False, True])
async def test_hours_and_timezone_come_from_the_table(
    harness: Harness, of_an_earlier_version: bool
) -> None:
    harness.add_polls(0, STORE, (NOW - WEEK - MINUTE, True))
    rows = [(day, "09:00", "17:30") for day in range(7)]
    for tag, content in ((TIMEZONE_TAG, b"Asia/Kathmandu"), (HOURS_TAG, encode_rows(rows))):
        harness.facts.content[0, KEY + tag] = (
            content if of_an_earlier_version else encode_fact(Revision(5, 7), content)
        )

    await harness.request(request(reference_time=NOW))

    assert harness.report()["timezone"] == "Asia/Kathmandu"
    assert harness.report()["uptime_last_week"] == 7 * 8.5
    assert harness.report()["hours_version"] == hours_version(encode_rows(rows))


async def test_a_poll_as_old_as_the_lookback_allows_still_counts(harness: Harness) -> None:
    harness.add_polls(0, STORE, (NOW - WEEK - HOUR, True))

    await harness.request(request(reference_time=NOW))

    assert harness.report()["uptime_last_week"] == 168.0


async def test_an_event_is_acknowledged_when_its_result_is_stored(harness: Harness) -> None:
    harness.publisher.sends.at_once = False

    (event,) = await harness.request(request(reference_time=NOW))
    assert harness.statuses() == ["running", "complete"]
    harness.publisher.sends.acknowledge(0)
    await settle()
    assert event.acks == 0
    harness.publisher.sends.acknowledge(1)
    await settle()

    assert event.acks == 1


async def test_a_result_that_is_not_stored_ends_the_worker(harness: Harness) -> None:
    harness.publisher.sends.at_once = False
    (event,) = await harness.request(request(reference_time=NOW))
    error = OSError("lost")

    harness.publisher.sends.pending[-1].set_exception(error)
    await settle()

    assert event.acks == 0
    assert harness.failures.errors == [error]


async def test_a_broker_that_accepts_no_record_ends_the_worker(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = OSError("full")

    async def report(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(harness.publisher, "publish_report_event", report)
    (event,) = await harness.request(request(reference_time=NOW))

    assert event.acks == 0
    assert harness.failures.errors == [error]


# -- the reference time


async def test_a_request_without_a_time_refers_to_the_newest_poll_of_all_stores(
    harness: Harness,
) -> None:
    harness.applied_offsets.newest = NOW - 3 * DAY

    await harness.request(request())

    assert harness.report()["reference_time"] == format_instant(NOW - 3 * DAY)


async def test_the_newest_poll_is_read_after_catching_up(harness: Harness) -> None:
    harness.applied_offsets.caught_up.clear()
    harness.applied_offsets.newest = NOW - DAY
    await harness.request(request())
    harness.applied_offsets.newest = NOW - HOUR
    harness.applied_offsets.caught_up.set()
    await harness.all_answered()

    assert harness.report()["reference_time"] == format_instant(NOW - HOUR)


async def test_by_the_wall_clock_the_reference_time_is_that_of_the_request() -> None:
    harness = owning(reference_clock="wall")
    harness.applied_offsets.newest = NOW - 3 * DAY
    harness.now = NOW + SECOND

    await harness.request(request())

    assert harness.report()["reference_time"] == format_instant(NOW)


@pytest.mark.parametrize("clock", ["data", "wall"])
async def test_a_time_that_the_request_names_wins(clock: str) -> None:
    harness = owning(reference_clock=clock)
    harness.applied_offsets.newest = NOW - 3 * DAY

    await harness.request(request(reference_time=NOW - 5 * DAY))

    assert harness.report()["reference_time"] == format_instant(NOW - 5 * DAY)


async def test_a_request_without_a_time_fails_if_there_is_no_poll(harness: Harness) -> None:
    (event,) = await harness.request(request())

    assert "no poll of any store has come in yet" in harness.reason()
    assert event.acks == 1


# -- failed


async def test_an_unknown_store_fails(harness: Harness) -> None:
    await harness.request(ReportRequest(REPORT, store_in(0, 1), NOW))

    assert "is unknown" in harness.reason()


async def test_a_time_whose_polls_are_no_longer_kept_fails(harness: Harness) -> None:
    ring = BucketLayout(harness.settings.retention).cold_slots
    harness.add_polls(0, STORE, (NOW - ring * WEEK, True), (NOW, True))

    await harness.request(request(reference_time=NOW - ring * WEEK))

    assert "no longer kept" in harness.reason()


async def test_a_broken_table_fails_the_report(harness: Harness) -> None:
    harness.facts.content[0, KEY + HOURS_TAG] = b"broken"

    (event,) = await harness.request(request(reference_time=NOW))

    assert harness.reason().startswith("internal error")
    assert event.acks == 1


@pytest.mark.parametrize("topic", [REPORT_REQUESTS.name, STORE_QUERIES.name])
async def test_a_misspelt_field_fails_the_report_and_is_kept(harness: Harness, topic: str) -> None:
    content = {"report_id": REPORT, "store_id": STORE, "referenceTime": "2023-01-25T00:00:00Z"}
    await harness.request(orjson.dumps(content), topic=topic)
    await harness.all_answered()
    assert harness.statuses() == ["failed"]
    assert harness.reason().startswith("unknown fields: 'referenceTime'; known are report_id, ")
    (dead_letter,) = harness.publisher.dead_letters
    assert dead_letter.reason == harness.reason()
    assert dead_letter.source["topic"] == topic


async def test_the_deadline_passes_while_a_request_waits() -> None:
    harness = owning(report_deadline=SHORT_DEADLINE)
    harness.applied_offsets.caught_up.clear()

    (event,) = await harness.request(request(reference_time=NOW))
    await harness.all_answered()

    assert harness.reason() == "not complete within the deadline of 20ms"
    assert event.acks == 1
    assert harness.applied_offsets.waiting == 0


async def test_the_deadline_counts_from_the_first_request(harness: Harness) -> None:
    long_ago = NOW - harness.settings.report_deadline - SECOND
    harness.applied_offsets.caught_up.clear()

    await harness.request(request(reference_time=NOW, requested_at=long_ago))
    await harness.all_answered()

    assert "deadline" in harness.reason()


async def test_a_request_cannot_delay_its_deadline() -> None:
    harness = owning(report_deadline=SHORT_DEADLINE)
    harness.applied_offsets.caught_up.clear()

    await harness.request(request(reference_time=NOW, requested_at=NOW + 365 * DAY))
    await harness.all_answered()

    assert "deadline" in harness.reason()


async def test_a_broker_out_of_reach_is_asked_again(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caught_up_facts, "_RETRY_SECONDS", 0)
    harness.applied_offsets.errors = [
        BrokerUnavailableError("gone"),
        BrokerUnavailableError("gone"),
    ]

    await harness.request(request(reference_time=NOW))

    assert harness.applied_offsets.calls == 3
    assert harness.statuses() == ["running", "complete"]


async def test_a_broker_out_of_reach_until_the_deadline_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(caught_up_facts, "_RETRY_SECONDS", 0)
    harness = owning(report_deadline=SHORT_DEADLINE)
    harness.applied_offsets.errors = [BrokerUnavailableError("gone")] * 1_000_000

    await harness.request(request(reference_time=NOW))
    await harness.all_answered()

    assert "deadline" in harness.reason()


# -- read your writes


async def test_nothing_is_read_before_the_workers_have_caught_up(harness: Harness) -> None:
    harness.applied_offsets.caught_up.clear()
    (event,) = await harness.request(request(reference_time=NOW))
    assert harness.statuses() == ["running"]
    assert event.acks == 0

    harness.add_polls(0, STORE, (NOW - 30 * MINUTE, True))
    harness.applied_offsets.caught_up.set()
    await harness.all_answered()

    assert harness.report()["uptime_last_hour"] == 30
    assert event.acks == 1


@pytest.mark.parametrize("spec", SOURCE_TOPICS, ids=lambda spec: spec.name)
async def test_a_new_owner_waits_until_it_has_applied_what_a_crashed_owner_had_applied(
    harness: Harness, spec: Any
) -> None:
    # the last watermark of the crashed owner is 5; this owner resumes at the committed offset, 3
    harness.applied_offsets.end_offsets = {(spec.name, 0): 5, (spec.name, 1): 9}
    harness.owned_partitions.partitions[0].offset_trackers[spec.name] = OffsetTracker(3)
    (event,) = await harness.request(request(reference_time=NOW))
    assert harness.statuses() == ["running"]

    for applied in (4, 5):
        assert event.acks == 0
        harness.add_polls(0, STORE, (NOW - 30 * MINUTE, True))
        harness.owned_partitions.partitions[0].offset_trackers[spec.name].skip_to(applied)
        harness.owned_partitions.partitions[0].applied_changed.set()
        await settle()

    assert harness.report()["uptime_last_hour"] == 30
    assert event.acks == 1


async def test_a_database_that_cannot_be_read_fails_no_report(harness: Harness) -> None:
    """The worker ends without an acknowledgement, and the next owner answers the request."""

    def get(*_: Any, **__: Any) -> bytes:
        raise error

    harness.facts.get = get  # type: ignore[method-assign]
    error = TableError("Corruption: block checksum mismatch")
    (event,) = await harness.request(request(reference_time=NOW))

    assert harness.statuses() == ["running"]
    assert event.acks == 0
    assert harness.failures.errors == [error]


# -- the partition moves


async def test_a_request_whose_partition_is_revoked_is_sent_again_with_its_time(
    harness: Harness,
) -> None:
    harness.applied_offsets.caught_up.clear()
    harness.publisher.sends.at_once = False
    (event,) = await harness.request(request(reference_time=NOW - DAY))

    harness.owned_partitions.partitions[0].revoked.set()
    await settle()

    (again,) = harness.publisher.forwarded
    assert (again.topic, again.partition, again.key) == (REPORT_REQUESTS.name, 0, STORE)
    assert decode_request(again.value) == request(reference_time=NOW - DAY, requested_at=NOW)
    assert event.acks == 0
    harness.publisher.sends.acknowledge()
    await settle()
    assert event.acks == 1
    assert harness.statuses() == ["running"]
    assert harness.applied_offsets.waiting == 0


async def test_a_partition_that_is_fenced_while_it_is_read_fails_no_report(
    harness: Harness,
) -> None:
    def get(*_: Any, **__: Any) -> bytes:
        raise RevokedError("partition 0 is not open in this worker")

    harness.facts.get = get  # type: ignore[method-assign]
    (event,) = await harness.request(request(reference_time=NOW))

    assert [decode_request(again.value) for again in harness.publisher.forwarded] == [
        request(reference_time=NOW, requested_at=NOW)
    ]
    assert harness.statuses() == ["running"]
    assert event.acks == 1
    assert harness.failures.errors == []


@pytest.mark.parametrize("turns", range(8))
async def test_a_partition_revoked_as_the_wait_ends_is_not_read(
    harness: Harness, turns: int
) -> None:
    read_when_revoked: list[bytes] = []
    get = harness.facts.get

    def watched(partition: int, key: bytes) -> bytes | None:
        if harness.owned_partitions.partitions[0].revoked.is_set():
            read_when_revoked.append(key)
        return get(partition, key)

    harness.facts.get = watched  # type: ignore[method-assign]
    harness.applied_offsets.caught_up.clear()
    (event,) = await harness.request(request(reference_time=NOW))

    harness.applied_offsets.caught_up.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    harness.owned_partitions.partitions[0].revoked.set()
    await harness.all_answered()

    assert read_when_revoked == []
    assert len(harness.publisher.forwarded) + harness.statuses().count("complete") == 1
    assert event.acks == 1


async def test_the_time_of_the_first_request_is_kept_over_several_moves(harness: Harness) -> None:
    harness.owned_partitions.partitions.clear()

    await harness.request(request(requested_at=NOW - SECOND))

    (again,) = harness.publisher.forwarded
    assert decode_request(again.value).requested_at == NOW - SECOND


async def test_a_request_on_a_wrong_partition_is_forwarded(harness: Harness) -> None:
    store = store_in(3)

    (event,) = await harness.request(ReportRequest(REPORT, store, NOW - DAY))

    (again,) = harness.publisher.forwarded
    assert (again.topic, again.partition, again.key) == (REPORT_REQUESTS.name, 3, store)
    assert decode_request(again.value) == ReportRequest(REPORT, store, NOW - DAY, NOW)
    assert harness.publisher.reports == []
    assert event.acks == 1


# -- invalid requests


async def test_a_request_that_cannot_be_read_becomes_a_dead_letter(harness: Harness) -> None:
    harness.publisher.sends.at_once = False

    (event,) = await harness.request(b"{}")

    (dead_letter,) = harness.publisher.dead_letters
    assert dead_letter.source == {"topic": REPORT_REQUESTS.name, "partition": 0, "offset": 0}
    assert (dead_letter.original, dead_letter.key) == (b"{}", b"a key")
    assert dead_letter.reason == "report_id is missing"
    assert harness.publisher.reports == []
    assert event.acks == 0
    harness.publisher.sends.acknowledge()
    await settle()
    assert event.acks == 1


BAD_REQUESTS = {
    "no store": {"report_id": REPORT},
    "a store that is no UUID": {"report_id": REPORT, "store_id": 7},
    "a wrong time": {"report_id": REPORT, "store_id": STORE, "reference_time": "soon"},
}


@pytest.mark.parametrize("content", BAD_REQUESTS.values(), ids=BAD_REQUESTS)
async def test_the_report_of_an_invalid_request_fails_if_its_id_can_be_read(
    harness: Harness, content: dict[str, Any]
) -> None:
    harness.publisher.sends.at_once = False

    (event,) = await harness.request(orjson.dumps(content))

    assert harness.reason() == harness.publisher.dead_letters[0].reason
    harness.publisher.sends.acknowledge(0)
    await settle()
    assert event.acks == 0
    harness.publisher.sends.acknowledge(1)
    await settle()
    assert event.acks == 1


async def test_a_request_that_breaks_the_decoder_does_not_end_the_worker(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decode(_value: bytes) -> None:
        raise RecursionError("too deep")

    monkeypatch.setattr("stream_app.worker.agents.reports.decode_request", decode)
    monkeypatch.setattr("stream_app.worker.agents.reports.report_id_of", decode)

    (event,) = await harness.request(request())

    assert harness.publisher.dead_letters[0].reason.startswith("internal error: RecursionError")
    assert event.acks == 1
    assert harness.failures.errors == []


# -- many at once


async def test_a_request_that_waits_delays_no_other(harness: Harness) -> None:
    harness.applied_offsets.end_offsets = {(STORE_STATUS.name, 0): 0}
    harness.applied_offsets.caught_up.clear()

    waiting, _ = await harness.request(request(reference_time=NOW), b"{}")

    assert waiting.acks == 0
    assert len(harness.publisher.dead_letters) == 1


async def test_the_number_of_requests_at_once_is_limited(harness: Harness) -> None:
    harness.applied_offsets.caught_up.clear()
    count = MAX_AT_ONCE + 10

    events = await harness.request(*[request(reference_time=NOW)] * count)
    assert harness.applied_offsets.waiting == MAX_AT_ONCE
    assert harness.stream.delivered == MAX_AT_ONCE + 1
    harness.applied_offsets.caught_up.set()
    await harness.all_answered()

    assert harness.applied_offsets.most_waiting == MAX_AT_ONCE
    assert [event.acks for event in events] == [1] * count


# -- details besides the figures


async def test_details_come_with_the_figures(harness: Harness) -> None:
    harness.add_polls(0, STORE, (NOW - 2 * HOUR, True), (NOW - 30 * MINUTE, False))

    await harness.request(
        replace(request(reference_time=NOW), details=("windows", "timeline", "days", "incidents"))
    )

    report = harness.report()
    assert [window["uptime_minutes"] for window in report["windows"]] == [30, 90, 90]
    assert report["windows"][0] == {
        "name": "last_hour",
        "start": format_instant(NOW - HOUR),
        "end": format_instant(NOW),
        "uptime_minutes": 30,
        "downtime_minutes": 30,
        "unknown_uptime_minutes": 0,
        "unknown_downtime_minutes": 0,
        "coverage": 1.0,
    }
    assert report["windows"][1]["unknown_downtime_minutes"] == 22 * 60
    assert report["intervals"][-1] == {
        "start": format_instant(NOW - 30 * MINUTE),
        "end": format_instant(NOW),
        "open": True,
        "status": "inactive",
        "counted_as": "inactive",
    }
    assert report["intervals"][0]["status"] == "unknown"
    assert sum(day["uptime_minutes"] for day in report["local_days"]) == 90
    assert [incident["cause"] for incident in report["incidents"]] == ["reported", "silence"]
    assert report["incidents"][0]["downtime_seconds"] == 1800.0
    assert report["incidents"][0]["unknown_downtime_seconds"] == 0.0
    silence = report["incidents"][1]
    assert silence["unknown_downtime_seconds"] == silence["downtime_seconds"]
    assert sum(day["unknown_downtime_minutes"] for day in report["local_days"]) == 166 * 60
    assert [day["whole_day"] for day in report["local_days"]] == [False, *[True] * 6, False]
    assert report["incidents"][0]["ongoing"] is True


async def test_a_window_that_begins_before_the_reports_range_is_left_out(
    harness: Harness,
) -> None:
    form = ReportSpec(duration=DAY)
    await harness.request(replace(request(reference_time=NOW), spec=form, details=("windows",)))
    assert [window["name"] for window in harness.report()["windows"]] == ["last_hour", "last_day"]


async def test_a_timeline_that_is_too_long_for_a_record_fails(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.add_polls(0, STORE, *((NOW - number * MINUTE, number % 2 == 0) for number in range(20)))
    monkeypatch.setattr(store_details, "MAX_INTERVALS", 19)

    await harness.request(replace(request(reference_time=NOW), details=("timeline",)))

    assert "ask for a shorter time" in harness.reason()


async def test_the_newest_of_many_incidents_are_in_the_report(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.add_polls(0, STORE, *((NOW - number * MINUTE, number % 2 == 0) for number in range(20)))
    monkeypatch.setattr(store_details, "MAX_INCIDENTS", 3)

    await harness.request(replace(request(reference_time=NOW), details=("incidents",)))

    starts = [incident["start"] for incident in harness.report()["incidents"]]
    assert starts == [format_instant(NOW - number * MINUTE) for number in (1, 3, 5)]


async def test_a_report_may_be_of_any_time(harness: Harness) -> None:
    harness.add_polls(0, STORE, (NOW - 20 * DAY, True), (NOW - 10 * DAY, False))
    form = ReportSpec(start=NOW - 15 * DAY, exact=True)

    await harness.request(replace(request(reference_time=NOW - 5 * DAY), spec=form))

    report = harness.report()
    # the poll of twenty days ago is beyond the lookback: until the other one the default counts
    assert (report["uptime_seconds"], report["downtime_seconds"]) == (0.0, 10 * DAY / SECOND)
    assert (report["polls_counted"], report["start"]) == (1, format_instant(NOW - 15 * DAY))


async def test_an_unknown_timezone_is_in_the_report_beside_the_default_one(
    harness: Harness,
) -> None:
    name = "america/new_york"
    harness.facts.content[0, KEY + TIMEZONE_TAG] = encode_fact(Revision(1, 0), name.encode())
    await harness.request(ReportRequest(REPORT, STORE, NOW))
    await harness.all_answered()
    report = harness.report()
    assert (report["timezone"], report["unknown_timezone"]) == ("America/Chicago", name)


@pytest.mark.parametrize("name", [None, b"America/New_York"])
async def test_a_valid_timezone_or_none_at_all_is_not_an_unknown_one(
    harness: Harness, name: bytes | None
) -> None:
    if name is not None:
        harness.facts.content[0, KEY + TIMEZONE_TAG] = encode_fact(Revision(1, 0), name)
    await harness.request(ReportRequest(REPORT, STORE, NOW))
    await harness.all_answered()
    report = harness.report()
    assert "unknown_timezone" not in report
