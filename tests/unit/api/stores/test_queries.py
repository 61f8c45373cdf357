"""`/summary`, `/timeline` and `/incidents` of a store are the answers to queries."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from api.stores.local_clock import utc_offsets
from api.stores.store_state import store_from
from stream_app.contracts.business_hours import encode_hours
from stream_app.contracts.report_requests import ReportRequest
from stream_app.contracts.topics import STORE_BUSINESS_HOURS
from stream_app.domain.report_spec import ReportSpec
from stream_app.domain.timestamps import DAY, HOUR, WEEK, format_instant, parse_instant
from stream_app.errors import BrokerUnavailableError, ReportError, WorkersBehindError
from tests.strategies import ZONES, clock_changes, offset_at
from tests.unit.api.answers import CONTENT, STORE, UNKNOWN, problem_of

if TYPE_CHECKING:
    from tests.fakes import FakeGateway
    from tests.http_client import TestClient

NOON = 1_710_072_000_000_000  # 2024-03-10T12:00:00Z
PROVENANCE = {
    "store_id": STORE,
    "timezone": "America/Chicago",
    "stale_after": "2h",
    "lookback": "1h",
    "default_status": "inactive",
}
ANSWER: dict[str, Any] = {
    **CONTENT,
    **PROVENANCE,
    "business_hours": [[0, "09:00", "17:00"]],
    "start": "2024-03-03T12:00:00Z",
    "end": "2024-03-10T12:00:00Z",
    "coverage": 0.5,
    "windows": ["three windows"],
    "last_poll": {"status": "active", "timestamp_utc": "2024-03-10T11:00:00Z"},
    "intervals": ["intervals"],
    "local_days": ["days"],
    "incidents": [{"start": f"2024-03-{day:02}T12:00:00Z"} for day in (9, 8, 7, 6)],
}


# the clock goes forward at two, four hours before the end
OFFSETS = [
    {"start": "2024-03-03T12:00:00Z", "offset_seconds": -6 * 3600},
    {"start": "2024-03-10T08:00:00Z", "offset_seconds": -5 * 3600},
]


@pytest.mark.parametrize("name", ZONES)
def test_offsets_are_those_of_the_timezone_at_every_instant(name: str) -> None:
    changes = clock_changes(name) or [NOON]
    for change in changes[-6:]:
        offsets = utc_offsets(name, change - 40 * DAY, None, change + 40 * DAY)
        starts = [parse_instant(offset["start"]) for offset in offsets]
        assert starts == sorted(starts)
        for instant in range(change - 40 * DAY, change + 40 * DAY, 7 * HOUR + 1):
            known = [
                offset for offset, start in zip(offsets, starts, strict=True) if start <= instant
            ]
            assert known[-1]["offset_seconds"] * 1_000_000 == offset_at(name, instant)


def test_without_a_timezone_or_an_instant_there_are_no_offsets() -> None:
    assert utc_offsets("Mars/Phobos", NOON) == utc_offsets("UTC", None) == []


async def test_the_summary_is_the_state_now_and_the_three_windows(
    client: TestClient, gateway: FakeGateway
) -> None:
    gateway.answers = [ANSWER]

    response = await client.get(f"/stores/{STORE.upper()}/summary")

    assert response.status == HTTPStatus.OK
    assert await response.json() == {
        **PROVENANCE,
        "state": "closed",
        "now": "2024-03-10T12:00:00Z",
        "local_time": "2024-03-10T07:00:00-05:00",
        # from the poll to the next opening
        "utc_offsets": [{"start": "2024-03-10T11:00:00Z", "offset_seconds": -5 * 3600}],
        "open_changes_at": "2024-03-11T14:00:00Z",
        "last_poll": {"status": "active", "timestamp_utc": "2024-03-10T11:00:00Z"},
        "business_hours": [[0, "09:00", "17:00"]],
        "reference_time": "2024-03-10T12:00:00Z",
        "unknown_timezone": None,
        "windows": ["three windows"],
    }
    (query,) = gateway.queries
    assert query == ReportRequest(query.report_id, STORE, details=("windows", "last_poll"))


async def test_the_summary_names_a_timezone_that_is_unknown(
    client: TestClient, gateway: FakeGateway
) -> None:
    gateway.answers = [{**ANSWER, "unknown_timezone": "america/new_york"}]
    body = await (await client.get(f"/stores/{STORE}/summary")).json()
    assert (body["unknown_timezone"], body["timezone"]) == ("america/new_york", "America/Chicago")


async def test_the_summary_shows_the_answer_of_the_worker_even_if_the_view_is_behind(
    client: TestClient, gateway: FakeGateway
) -> None:
    """The view reads a poll a moment after its 202, and a new store too."""
    gateway.poll(STORE, NOON - HOUR, active=True)
    gateway.newest_poll = NOON - HOUR
    last_poll = {"status": "inactive", "timestamp_utc": "2024-03-10T12:00:00Z"}
    gateway.answers = [{**ANSWER, "business_hours": None, "last_poll": last_poll}]

    body = await (await client.get(f"/stores/{STORE}/summary")).json()

    assert (body["state"], body["last_poll"]) == ("down", last_poll)
    assert body["now"] == body["reference_time"] == "2024-03-10T12:00:00Z"


HOURS: list[list[tuple[int, str, str]]] = [
    [],
    [(6, "00:00", "24:00")],
    [(6, "07:00", "07:30")],
    [(6, "06:00", "07:00")],
    [(0, "09:00", "17:00")],
    [(6, "07:00", "07:00")],
]
POLLED = [None, NOON - 3 * HOUR, NOON - 2 * HOUR, NOON - 2 * HOUR + 1, NOON, NOON + 1]


@pytest.mark.parametrize("active", [False, True])
async def test_the_state_is_the_one_that_the_fleet_shows(
    gateway: FakeGateway, *, active: bool
) -> None:
    for polled in POLLED:
        for rows in HOURS:
            store, poll = str(uuid4()), None
            gateway.add_store(store)
            gateway.add_record(STORE_BUSINESS_HOURS, store, encode_hours(store, rows))
            if polled is not None:
                gateway.poll(store, polled, active=active)
                status = "active" if active else "inactive"
                poll = {"status": status, "timestamp_utc": format_instant(polled)}
            await gateway.view.advance_to(NOON)
            (shown,) = gateway.view.stores([store])

            content = {**ANSWER, "store_id": store, "business_hours": rows, "last_poll": poll}
            answered = store_from(content, NOON)

            assert answered.state == shown.state
            assert answered.opening_changes_at == shown.opening_changes_at
            assert (answered.polled_at, answered.active) == (shown.polled_at, shown.active)


async def test_a_timezone_that_only_the_workers_have_is_an_error(
    client: TestClient, gateway: FakeGateway
) -> None:
    gateway.answers = [{**ANSWER, "timezone": "Mars/Base"}]
    response = await client.get(f"/stores/{STORE}/summary")
    assert "no timezone 'Mars/Base'" in await problem_of(response, HTTPStatus.UNPROCESSABLE_ENTITY)


async def test_the_timeline_is_that_of_the_last_week(
    client: TestClient, gateway: FakeGateway
) -> None:
    gateway.answers = [ANSWER]

    response = await client.get(f"/stores/{STORE}/timeline")

    assert await response.json() == {
        **PROVENANCE,
        "start": "2024-03-03T12:00:00Z",
        "end": "2024-03-10T12:00:00Z",
        "coverage": 0.5,
        "utc_offsets": OFFSETS,
        "intervals": ["intervals"],
        "days": ["days"],
    }
    (query,) = gateway.queries
    assert (query.reference_time, query.spec) == (None, ReportSpec(duration=WEEK))
    assert query.details == ("timeline", "days")


@pytest.mark.parametrize(
    ("query", "reference", "form"),
    [
        ("from=2024-03-10T06:00:00Z", None, ReportSpec(start=NOON - 6 * HOUR)),
        ("to=2024-03-10T12:00:00Z", NOON, ReportSpec(duration=WEEK)),
        (
            "from=2024-03-10T06:00:00Z&to=2024-03-10T12:00:00Z",
            NOON,
            ReportSpec(start=NOON - 6 * HOUR),
        ),
    ],
)
async def test_a_request_may_choose_the_span(
    client: TestClient, gateway: FakeGateway, query: str, reference: int | None, form: ReportSpec
) -> None:
    for path in ("timeline", "incidents"):
        gateway.answers = [ANSWER]
        assert (await client.get(f"/stores/{STORE}/{path}?{query}")).status == HTTPStatus.OK
        sent_query = gateway.queries[-1]
        assert (sent_query.reference_time, sent_query.spec) == (reference, form)


async def test_incidents_come_in_pages_the_newest_first(
    client: TestClient, gateway: FakeGateway
) -> None:
    gateway.answers = [ANSWER] * 3
    path: str | None = f"/stores/{STORE}/incidents?limit=2"
    pages = []
    while path is not None:
        body = await (await client.get(path)).json()
        pages.append([incident["start"][:10] for incident in body["incidents"]])
        path = body["next"]

    assert pages == [["2024-03-09", "2024-03-08"], ["2024-03-07", "2024-03-06"]]
    # the second page is of the same span, even if polls came in meanwhile
    assert gateway.queries[1].reference_time == NOON
    assert gateway.queries[1].spec == ReportSpec(start=NOON - WEEK)


@pytest.mark.parametrize("view", ["summary", "timeline", "incidents"])
async def test_an_unknown_store_is_404(client: TestClient, gateway: FakeGateway, view: str) -> None:
    detail = await problem_of(await client.get(f"/stores/{UNKNOWN}/{view}"), HTTPStatus.NOT_FOUND)
    assert "unknown" in detail
    assert gateway.queries == []


@pytest.mark.parametrize(
    "path",
    [
        "x/timeline",
        f"{STORE}/timeline?from=yesterday",
        f"{STORE}/timeline?since=2024-03-10T06:00:00Z",
        f"{STORE}/timeline?from=2024-03-10T06:00:00Z&to=2024-03-10T06:00:00Z",
        f"{STORE}/incidents?limit=0",
        f"{STORE}/incidents?after=now",
        f"{STORE}/summary?at=now",
    ],
)
async def test_a_wrong_parameter_is_422(client: TestClient, path: str) -> None:
    await problem_of(await client.get(f"/stores/{path}"), HTTPStatus.UNPROCESSABLE_ENTITY)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ReportError("no poll of any store has come in yet"), HTTPStatus.UNPROCESSABLE_ENTITY),
        (WorkersBehindError("no worker answered"), HTTPStatus.SERVICE_UNAVAILABLE),
        (BrokerUnavailableError("away"), HTTPStatus.SERVICE_UNAVAILABLE),
    ],
)
async def test_a_query_without_an_answer_says_why(
    client: TestClient, gateway: FakeGateway, error: Exception, status: HTTPStatus
) -> None:
    gateway.answers = [error]
    await problem_of(await client.get(f"/stores/{STORE}/summary"), status)


async def test_too_many_open_queries_are_refused(client: TestClient, gateway: FakeGateway) -> None:
    gateway.open = 10_000
    response = await client.get(f"/stores/{STORE}/summary")
    await problem_of(response, HTTPStatus.SERVICE_UNAVAILABLE)
