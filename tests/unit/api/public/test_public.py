"""Badges and the status page show the chosen stores and allow nothing else."""

from __future__ import annotations

import json
from datetime import date
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest
from aiohttp.test_utils import TestServer

from api.app import create_app
from api.fleet.badge import fleet_badge, store_badge
from api.fleet.state import StoreState
from api.kafka.data_age import Freshness
from api.public import status as module
from api.public.app import public_site
from stream_app.contracts.report_requests import FleetRequest
from stream_app.domain.business_hours import WeeklyHours
from stream_app.domain.local_days import local_days
from stream_app.domain.polls import poll_set
from stream_app.domain.report_spec import ReportSpec
from stream_app.domain.store_facts import PollRules, StoreFacts
from stream_app.domain.timestamps import DAY, HOUR, MINUTE, SECOND, parse_instant
from stream_app.domain.timezones import resolve_timezone
from stream_app.errors import BrokerUnavailableError, WorkersBehindError
from stream_app.worker.report_document import StoreProvenance, chunk_rows, extra_columns
from tests.fakes import SETTINGS, FakeGateway
from tests.http_client import TestClient
from tests.report_contents import store_content
from tests.store_rows import columns_of
from tests.strategies import ZONES, clock_changes
from tests.unit.api.answers import STORE, UNKNOWN, problem_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NOON = 1_710_072_000_000_000
OTHER = "11111111-0000-4000-8000-000000000000"
FIGURES = {
    f"{side}_last_{window}": figure
    for side, figures in (("uptime", (30, 12.0, 167.99)), ("downtime", (30, 0, 0.01)))
    for window, figure in zip(("hour", "day", "week"), figures, strict=True)
}


SILENT = FIGURES | {f"unknown_{name}": figure for name, figure in FIGURES.items()}
PARTLY_KNOWN = "uptime hour: 50.00%, 25% no data"


def text_of(svg: str) -> str:
    """Return the text of a badge, which must be well-formed SVG."""
    root = ElementTree.fromstring(svg)  # noqa: S314  it is our own
    title = root.find("{http://www.w3.org/2000/svg}title")
    assert title is not None
    assert root.get("aria-label") == title.text
    return title.text or ""


def store_now(figures: dict[str, Any] | None) -> StoreState:
    return StoreState(
        STORE, "up", "UTC", NOON, active=True, opening_changes_at=None, figures=figures
    )


@pytest.mark.parametrize(
    ("store", "window", "text"),
    [
        (store_now(FIGURES), "hour", "uptime hour: 50.00%"),
        # what no poll covers is no downtime
        (store_now(FIGURES | {"unknown_downtime_last_hour": 15}), "hour", PARTLY_KNOWN),
        (store_now(SILENT), "hour", "uptime hour: no data"),
        (store_now(SILENT), "week", "uptime week: no data"),
        (store_now(FIGURES), "day", "uptime day: 100%"),
        # never rounded up to 100%
        (store_now(FIGURES), "week", "uptime week: 99.99%"),
        (store_now(dict.fromkeys(FIGURES, 0)), "day", "uptime day: not open"),
        (store_now(None), "day", "uptime day: unknown"),
        (None, "day", "uptime day: unknown"),
    ],
)
def test_the_badge_of_a_store_shows_its_uptime(
    store: StoreState | None, window: Any, text: str
) -> None:
    assert text_of(store_badge(store, window)) == text


def test_a_badge_draws_uptime_and_downtime_and_hatches_time_without_data() -> None:
    partly = store_badge(store_now(FIGURES | {"unknown_downtime_last_hour": 15}), "hour")
    widths = [
        float(rect.get("width") or 0)
        for rect in ElementTree.fromstring(partly).iter("{http://www.w3.org/2000/svg}rect")  # noqa: S314  it is our own
        if rect.get("y") == "17"
    ]
    right, *parts = widths
    assert parts == pytest.approx([right / 2, right / 4, right / 4], abs=0.1)
    assert partly.count("url(#h)") == 1

    silent = store_badge(store_now(SILENT), "week")
    assert "#b3320b" not in silent  # no red
    assert "#ff7a45" not in silent
    assert "url(#h)" in silent


@pytest.mark.parametrize(
    ("up", "closed", "total", "text"),
    [
        (250, 7, 280, "stores up: 250 of 273"),
        (0, 5, 5, "stores up: all closed"),
        (0, 0, 0, "stores up: none"),
    ],
)
def test_the_badge_of_the_fleet_shows_how_many_stores_are_up(
    up: int, closed: int, total: int, text: str
) -> None:
    assert text_of(fleet_badge({"up": up, "closed": closed, "total": total})) == text


async def test_a_badge_is_a_picture_that_runs_no_script(
    client: TestClient, gateway: FakeGateway
) -> None:
    gateway.poll(STORE, NOON, active=True)
    gateway.answers = [store_content(ReportSpec(), detailed=True)] * 2
    for path, text in (
        # a badge sends a query of its own, whose answer includes the poll before it
        (f"/badges/{STORE}.svg", "uptime week: 57.14%, 20% no data"),
        (f"/badges/{STORE.upper()}.svg?window=hour", "uptime hour: 100%"),
        (f"/badges/{STORE}.svg", "uptime week: unknown"),
        ("/badges/fleet.svg", "stores up: 1 of 1"),
    ):
        response = await client.get(path)
        assert response.headers["Content-Type"] == "image/svg+xml; charset=utf-8"
        assert response.headers["Content-Security-Policy"] == "default-src 'none'"
        assert response.headers["Cache-Control"] == "public, max-age=60"
        assert text_of(await response.text()) == text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"{UNKNOWN}.svg", HTTPStatus.NOT_FOUND),
        ("x.svg", HTTPStatus.UNPROCESSABLE_ENTITY),
        (f"{STORE}.svg?window=year", HTTPStatus.UNPROCESSABLE_ENTITY),
        ("fleet.svg?window=day", HTTPStatus.UNPROCESSABLE_ENTITY),
    ],
)
async def test_the_badge_of_an_unknown_store_or_window_is_an_error(
    client: TestClient, path: str, status: HTTPStatus
) -> None:
    await problem_of(await client.get(f"/badges/{path}"), status)


# -- the status page


def gateway_of(chosen: str) -> FakeGateway:
    return FakeGateway(STORE, OTHER, settings=SETTINGS.replace(public_stores=chosen))


@pytest.fixture
def shown() -> FakeGateway:
    """Return a gateway that shows two stores, one of which has no poll yet."""
    gateway = gateway_of(f"{STORE}=Downtown,{UNKNOWN}")
    gateway.poll(STORE, NOON, active=False)
    return gateway


@pytest.fixture
async def outside(shown: FakeGateway) -> AsyncIterator[TestClient]:
    """Yield a client of the page's own port, beside which the API runs the fleet."""
    async with TestClient(TestServer(public_site(shown.public_status, shown.settings))) as client:
        yield client


async def test_the_page_shows_the_chosen_stores(outside: TestClient, shown: FakeGateway) -> None:
    whole = [STORE, "2024-03-09", "2024-03-09T06:00:00Z", "2024-03-10T06:00:00Z", 480, 20]
    today = [STORE, "2024-03-10", "2024-03-10T06:00:00Z", "2024-03-10T12:00:00Z", 60, 0]
    provenance = ["America/Chicago", "0a", 9, 0.5, None]
    rows = json.dumps([[*whole, *provenance, 240, 10], [*today, *provenance, 30, 0]]).encode()
    shown.rows_of_every_report = [[rows]]
    form = ReportSpec(daily=True)
    error_of_figures = WorkersBehindError("later")
    shown.answers = [
        error_of_figures,
        {"columns": form.columns, "further": extra_columns(form)},
    ]
    shown.age = Freshness(NOON, NOON)

    body = await (await outside.get("/status.json")).json()

    assert body["title"] == "Store status"
    assert body["now"] == "2024-03-10T12:00:00Z"
    assert body["freshness"]["delayed"] is False
    assert body["counts"] == {"down": 1, "unknown": 1, "up": 0, "closed": 0, "total": 2}
    assert body["stores"] == [
        {
            "name": "Downtown",
            "store_id": STORE,
            "state": "down",
            "timezone": "America/Chicago",
            "local_time": "2024-03-10T07:00:00-05:00",
            "last_poll_at": "2024-03-10T12:00:00Z",
            "open_changes_at": None,
            "open_changes_local": None,
            "uptime": {"last_day": None, "last_week": None},
            "coverage": {"last_day": None, "last_week": None},
            "days": [
                {
                    "date": "2024-03-09",
                    "uptime_minutes": 480,
                    "downtime_minutes": 20,
                    "unknown_uptime_minutes": 240,
                    "unknown_downtime_minutes": 10,
                    "coverage": 0.5,
                    "whole_day": True,
                },
                {
                    "date": "2024-03-10",
                    "uptime_minutes": 60,
                    "downtime_minutes": 0,
                    "unknown_uptime_minutes": 30,
                    "unknown_downtime_minutes": 0,
                    "coverage": 0.5,
                    "whole_day": False,
                },
            ],
        },
        {
            "name": UNKNOWN,
            "store_id": UNKNOWN,
            "state": "unknown",
            "timezone": None,
            "local_time": None,
            "last_poll_at": None,
            "open_changes_at": None,
            "open_changes_local": None,
            "uptime": {"last_day": None, "last_week": None},
            "coverage": {"last_day": None, "last_week": None},
            "days": [],
        },
    ]


def daily_rows(
    timezone_name: str, hours: list[tuple[int, str, str]], now: int
) -> list[dict[str, Any]]:
    """Return the rows of a store that was always active, as a worker makes them."""
    form = ReportSpec(duration=module.SHOWN_DAYS * DAY, daily=True)
    tz = resolve_timezone(timezone_name, "UTC")
    start, end = form.span(now)
    polls = poll_set((at, True) for at in range(start - HOUR, end, HOUR))
    hours_of_week = WeeklyHours.from_rows(hours)
    rules = PollRules(lookback=HOUR, default_active=False, stale_after=2 * HOUR)
    columns = columns_of(form, STORE, StoreFacts(hours_of_week, tz, polls), now, rules)
    provenance = StoreProvenance(timezone_name, hours, "0a")
    fields = (*form.columns, *extra_columns(form))
    rows = chunk_rows(columns, [provenance])
    return [dict(zip(fields, row, strict=True)) for row in rows]


def test_a_day_whose_beginning_is_not_in_the_report_is_no_bar() -> None:
    """The store is open for an hour on Tuesdays, and a week ago that hour was over already."""
    now = parse_instant("2026-11-10T17:00:00Z")
    days = module.shown_days(daily_rows("America/Vancouver", [(1, "09:00", "10:00")], now))

    by_date = {day["date"]: (day["uptime_minutes"], day["whole_day"]) for day in days}
    assert by_date.get("2026-11-03", (60, True)) == (60, True)
    assert [day["whole_day"] for day in days] == [True] * (len(days) - 1) + [False]
    assert len(days) == module.SHOWN_DAYS


@pytest.mark.parametrize("timezone_name", ZONES)
@pytest.mark.parametrize("hours", range(0, 24, 5))
def test_each_bar_but_the_present_one_is_a_whole_local_day(timezone_name: str, hours: int) -> None:
    for change in (*clock_changes(timezone_name)[-3:], NOON):
        now = change + 3 * DAY + hours * HOUR
        rows = daily_rows(timezone_name, [], now)
        days = module.shown_days(rows)

        lengths = {row["date"]: row["uptime_minutes"] for row in rows}
        whole = local_days(resolve_timezone(timezone_name, "UTC"), now - 20 * DAY, now + 5 * DAY)
        for day in days[:-1]:
            parts = whole[date.fromisoformat(day["date"])]
            assert lengths[day["date"]] * MINUTE == sum(end - start for start, end in parts)
        assert 7 <= len(days) <= module.SHOWN_DAYS


async def test_the_status_says_why_it_is_not_updated(
    outside: TestClient, shown: FakeGateway
) -> None:
    shown.age = Freshness(NOON + 120 * SECOND, NOON, "broker", "out of reach")

    body = await (await outside.get("/status.json")).json()

    assert body["freshness"] == {
        "at": "2024-03-10T12:02:00Z",
        "as_of": "2024-03-10T12:00:00Z",
        "delayed": True,
        "part": "broker",
        "reason": "out of reach",
        "newest_poll": "2024-03-10T12:00:00Z",
        "newest_poll_stale": False,
    }


async def test_frequent_requests_cause_no_further_queries(
    outside: TestClient, shown: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(20):
        assert (await outside.get("/status.json")).status == HTTPStatus.OK
    days = [query for query in shown.queries if query.spec.daily]
    (request,) = days
    form = ReportSpec(duration=module.SHOWN_DAYS * DAY, daily=True)
    assert request == FleetRequest(request.report_id, (STORE,), NOON, spec=form)

    monkeypatch.setattr(module, "DAYS_SECONDS", 0)
    await outside.get("/status.json")
    assert len([query for query in shown.queries if query.spec.daily]) == 2


async def test_nothing_else_is_reached_at_the_port_of_the_page(outside: TestClient) -> None:
    for path in ("/fleet", f"/stores/{STORE}", f"/get_report/{STORE}", "/readyz", "/docs"):
        assert (await outside.get(path)).status == HTTPStatus.NOT_FOUND
    for path in ("/status", f"/trigger_report/{STORE}", "/status.json", "/"):
        response = await outside.post(path, json={})
        assert response.status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED)


async def test_a_store_that_is_not_chosen_is_not_shown(outside: TestClient) -> None:
    assert text_of(await (await outside.get(f"/badges/{STORE}.svg")).text())
    for other in (OTHER, "22222222-0000-4000-8000-000000000000"):
        detail = await problem_of(await outside.get(f"/badges/{other}.svg"), HTTPStatus.NOT_FOUND)
        assert detail == f"store {other} is not shown here"
    badge = await (await outside.get("/badges/fleet.svg")).text()
    assert text_of(badge) == "stores up: 0 of 2"


async def test_the_page_is_at_public_of_the_api_too(shown: FakeGateway) -> None:
    async with TestClient(TestServer(create_app(shown))) as client:
        page = await client.get("/public/")
        assert page.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]
        assert (await (await client.get("/public/status.json")).json())["counts"]["total"] == 2
        await problem_of(await client.get("/public/assets/nothing.js"), HTTPStatus.NOT_FOUND)


async def test_without_chosen_stores_there_is_no_page() -> None:
    gateway = gateway_of("")
    async with TestClient(
        TestServer(public_site(gateway.public_status, gateway.settings))
    ) as client:
        for path in ("/", "/status.json", "/badges/fleet.svg", f"/badges/{STORE}.svg"):
            detail = await problem_of(await client.get(path), HTTPStatus.NOT_FOUND)
            assert "STORE_UPTIME_PUBLIC_STORES" in detail


async def test_without_a_broker_the_status_is_503(outside: TestClient, shown: FakeGateway) -> None:
    shown.error = BrokerUnavailableError("away")
    await problem_of(await outside.get("/status.json"), HTTPStatus.SERVICE_UNAVAILABLE)
