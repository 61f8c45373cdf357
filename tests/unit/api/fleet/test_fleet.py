"""`GET /fleet` and its events show what the real view knows."""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp.test_utils import TestServer

from api.app import create_app
from api.fleet import service as fleet_service
from api.http import event_stream
from api.http.event_stream import EventStreams
from api.http.services import service_in
from api.kafka.data_age import Freshness
from stream_app.contracts.report_requests import FleetRequest
from stream_app.contracts.stores import encode_timezone
from stream_app.contracts.topics import LATEST_POLLS, STORE_TIMEZONES
from stream_app.domain.report import CSV_HEADER
from stream_app.domain.report_spec import ReportSpec
from stream_app.domain.timestamps import HOUR, MINUTE
from stream_app.errors import BrokerUnavailableError
from stream_app.worker.report_document import extra_columns
from tests.fake_record import FakeRecord
from tests.fakes import SETTINGS, FakeGateway, report_state
from tests.http_client import TestClient
from tests.unit.api.answers import REPORT, STORE, UNKNOWN, problem_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import ClientResponse

NOON = 1_710_072_000_000_000  # 2024-03-10T12:00:00Z
LIVE = {
    "at": "2024-03-10T12:00:00Z",
    "as_of": "2024-03-10T12:00:00Z",
    "delayed": False,
    "part": None,
    "reason": None,
    "newest_poll": "2024-03-10T12:00:00Z",
    "newest_poll_stale": False,
}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_service, "TICK_SECONDS", 0)


@pytest.fixture
async def watched(gateway: FakeGateway) -> AsyncIterator[TestClient]:
    """Yield a client of a fleet of one store, which was up at noon."""
    gateway.poll(STORE, NOON, active=True)
    async with TestClient(TestServer(create_app(gateway))) as client:
        yield client


async def events_of(response: ClientResponse) -> AsyncIterator[tuple[str, Any]]:
    event = ""
    async for line in response.content:
        name, _, text = line.decode().rstrip("\n").partition(": ")
        if name == "event":
            event = text
        elif name == "data":
            yield event, json.loads(text)


async def test_a_page_of_the_fleet(watched: TestClient, gateway: FakeGateway) -> None:
    gateway.add_store(UNKNOWN)
    gateway.age = Freshness(NOON, NOON)

    response = await watched.get("/fleet")

    assert response.status == HTTPStatus.OK
    assert response.headers["Cache-Control"] == "no-store"
    assert await response.json() == {
        "now": "2024-03-10T12:00:00Z",
        "clock": "data",
        "counts": {"up": 1, "down": 0, "closed": 0, "unknown": 1, "total": 2},
        "matching": 2,
        "page": 1,
        "pages": 1,
        "zones": ["America/Chicago"],
        "figures_at": None,
        "freshness": LIVE,
        "stores": [
            {
                "store_id": UNKNOWN,
                "state": "unknown",
                "timezone": "America/Chicago",
                "local_time": "2024-03-10T07:00:00-05:00",
                "last_poll": None,
                "open_changes_at": None,
                "figures": None,
            },
            {
                "store_id": STORE,
                "state": "up",
                "timezone": "America/Chicago",
                "local_time": "2024-03-10T07:00:00-05:00",
                "last_poll": {"status": "active", "timestamp_utc": "2024-03-10T12:00:00Z"},
                "open_changes_at": None,
                "figures": None,
            },
        ],
    }


async def test_parameters_choose_the_stores_of_a_page(
    watched: TestClient, gateway: FakeGateway
) -> None:
    gateway.poll(UNKNOWN, NOON, active=False)
    gateway.add_record(STORE_TIMEZONES, UNKNOWN, encode_timezone(UNKNOWN, "Europe/Paris"))

    async def ids(query: str) -> list[str]:
        body = await (await watched.get(f"/fleet?{query}")).json()
        return [store["store_id"] for store in body["stores"]]

    assert await ids("state=down,closed") == [UNKNOWN]
    assert await ids("state=up&state=down&sort=id") == [UNKNOWN, STORE]
    assert await ids("zone=America/Chicago") == [STORE]
    assert await ids("q=0F5C") == [STORE]
    # an id may be given in any of its forms
    assert await ids("q=5C1A3E9F2B") == await ids("q=5c1a3e-9f2b") == [STORE]
    assert await ids("q=5c1a-3e9f") == []
    assert await ids("limit=1&page=2") == [STORE]
    assert await ids("page=3") == []


@pytest.mark.parametrize(
    "query",
    ["state=dead", "sort=best", "q=xyz", "limit=0", "limit=201", "page=-1", "page=x", "stat=up"],
)
async def test_a_wrong_parameter_is_refused(watched: TestClient, query: str) -> None:
    await problem_of(await watched.get(f"/fleet?{query}"), HTTPStatus.UNPROCESSABLE_ENTITY)


async def test_before_the_first_poll_there_is_no_now(client: TestClient) -> None:
    body = await (await client.get("/fleet")).json()
    assert (body["now"], body["counts"]["unknown"], body["stores"][0]["local_time"]) == (
        None,
        1,
        None,
    )


async def test_without_a_broker_nothing_is_shown(watched: TestClient, gateway: FakeGateway) -> None:
    gateway.error = BrokerUnavailableError("away")
    for path in ("/fleet", "/fleet/events"):
        await problem_of(await watched.get(path), HTTPStatus.SERVICE_UNAVAILABLE)


async def test_figures_are_requested_only_once_in_a_while(
    watched: TestClient, gateway: FakeGateway
) -> None:
    unknown = [0, 1.0, 1.0, 0, 21.0, 165.0]
    provenance = ["America/Chicago", "0a", 17, 0.25, None]
    row = [STORE, 60, 3.0, 3.0, 0, 21.0, 165.0, *provenance, *unknown]
    further = extra_columns(ReportSpec())
    assert len(row) == len(CSV_HEADER) + len(further)
    gateway.rows_of_every_report = [[json.dumps([row]).encode()]]
    gateway.answers = [{"columns": CSV_HEADER, "further": further}]

    for _ in range(3):
        body = await (await watched.get("/fleet")).json()
        assert body["figures_at"] == "2024-03-10T12:00:00Z"
        assert body["stores"][0]["figures"] == {
            "uptime_last_hour": 60,
            "uptime_last_day": 3.0,
            "uptime_last_week": 3.0,
            "downtime_last_hour": 0,
            "downtime_last_day": 21.0,
            "downtime_last_week": 165.0,
            "coverage": 0.25,
            "unknown_uptime_last_hour": 0,
            "unknown_uptime_last_day": 1.0,
            "unknown_uptime_last_week": 1.0,
            "unknown_downtime_last_hour": 0,
            "unknown_downtime_last_day": 21.0,
            "unknown_downtime_last_week": 165.0,
        }

    (request,) = gateway.queries
    assert request == FleetRequest(request.report_id, reference_time=NOON)


async def test_watchers_learn_at_once_why_the_data_is_not_newer(
    watched: TestClient, gateway: FakeGateway
) -> None:
    gateway.age = Freshness(NOON, NOON)
    async with watched.get("/fleet/events") as response:
        events = events_of(response)
        _, update = await anext(events)
        assert update["freshness"] == LIVE

        for age, delayed, stale in (
            (Freshness(NOON + MINUTE, NOON, "broker", "out of reach"), True, False),
            (Freshness(NOON + MINUTE, NOON, "workers", "all are down"), True, False),
            (Freshness(NOON + MINUTE, NOON + MINUTE), False, False),
            # by the clock of the data: nothing has come in for longer than a poll covers
            (Freshness(NOON + 3 * HOUR, NOON + 3 * HOUR), False, True),
        ):
            gateway.age = age
            _, update = await anext(events)
            fresh = update["freshness"]
            assert (fresh["delayed"], fresh["part"], fresh["reason"]) == (
                delayed,
                age.part,
                age.reason,
            )
            assert fresh["newest_poll_stale"] is stale
            assert (update["changed"], update["more"]) == ([], False)


async def test_an_event_is_sent_even_when_nothing_changes(
    watched: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page that receives no event knows that it is not connected."""
    monkeypatch.setattr(fleet_service, "SIGN_OF_LIFE_SECONDS", 0)
    async with watched.get("/fleet/events") as response:
        events = events_of(response)
        for _ in range(3):
            _, update = await anext(events)
            assert update["changed"] == []


async def test_by_the_wall_clock_no_store_becomes_unknown_while_the_data_is_delayed() -> None:
    gateway = FakeGateway(settings=SETTINGS.replace(reference_clock="wall"))
    gateway.poll(STORE, NOON, active=True)
    service = gateway.fleet_service
    gateway.age = Freshness(NOON + MINUTE, NOON + MINUTE)
    assert service.now() == NOON + MINUTE

    gateway.age = Freshness(NOON + 5 * HOUR, NOON + MINUTE, "broker")
    assert service.now() == NOON + MINUTE
    assert (await service.counts())["up"] == 1

    gateway.age = Freshness(NOON + 5 * HOUR, NOON + 5 * HOUR)
    assert service.now() == NOON + 5 * HOUR
    assert (await service.counts())["unknown"] == 1


async def test_the_first_event_has_the_counts_and_the_next_has_the_changes(
    watched: TestClient, gateway: FakeGateway
) -> None:
    gateway.age = Freshness(NOON, NOON)
    async with watched.get("/fleet/events") as response:
        assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        events = events_of(response)
        assert await anext(events) == (
            "fleet",
            {
                "now": "2024-03-10T12:00:00Z",
                "counts": {"up": 1, "down": 0, "closed": 0, "unknown": 0, "total": 1},
                "changed": [],
                "removed": [],
                "more": False,
                "figures_at": None,
                "freshness": LIVE,
            },
        )

        gateway.poll(STORE, NOON + 1, active=False)
        _, update = await anext(events)

        assert update["counts"]["down"] == 1
        assert update["changed"] == [
            {
                "store_id": STORE,
                "state": "down",
                "last_poll": {
                    "status": "inactive",
                    "timestamp_utc": "2024-03-10T12:00:00.000001Z",
                },
            }
        ]


async def test_a_removed_store_is_sent_as_an_event(
    watched: TestClient, gateway: FakeGateway
) -> None:
    async with watched.get("/fleet/events") as response:
        events = events_of(response)
        await anext(events)

        gateway.view.on_record(FakeRecord(LATEST_POLLS.name, None, key=STORE.encode()))
        assert (await watched.delete(f"/stores/{STORE}")).status == HTTPStatus.ACCEPTED
        update: dict[str, Any] = {"removed": []}
        while not update["removed"]:
            _, update = await anext(events)

        assert (update["changed"], update["removed"]) == ([], [STORE])
        assert update["counts"]["total"] == 0


async def test_a_watcher_of_one_store_gets_no_changes_of_others(
    watched: TestClient, gateway: FakeGateway
) -> None:
    async with watched.get(f"/fleet/events?store_id={UNKNOWN}") as response:
        events = events_of(response)
        await anext(events)

        gateway.poll(STORE, NOON + 1, active=False)
        gateway.poll(UNKNOWN, NOON + 2, active=False)
        _, update = await anext(events)

        assert [store["store_id"] for store in update["changed"]] == [UNKNOWN]


async def test_changes_that_a_slow_reader_has_not_read_are_combined(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fleet_service, "MAX_CHANGES", 2)
    watcher = fleet_service.Watcher(None)
    watcher.add_changes(["a", "b"], more_changed=False)
    watcher.add_changes(["b"], more_changed=False)
    assert watcher.changed.is_set()
    assert watcher.drain_changes() == (["a", "b"], False)

    watcher.add_changes(["a", "b", "c"], more_changed=False)
    watcher.add_changes([], more_changed=False)
    assert watcher.drain_changes() == (["a", "b"], True)
    assert watcher.drain_changes() == ([], False)


async def test_the_number_of_streams_is_limited(watched: TestClient) -> None:
    service_in(watched.app, EventStreams)._limit = 1
    async with watched.get("/fleet/events") as response:
        await anext(events_of(response))
        refused = await watched.get("/fleet/events")
        assert refused.headers["Retry-After"]
        await problem_of(refused, HTTPStatus.SERVICE_UNAVAILABLE)
    assert EventStreams()._limit == event_stream.MAX_STREAMS


async def test_one_client_does_not_get_all_streams(watched: TestClient) -> None:
    service_in(watched.app, EventStreams)._limit_of_a_client = 1
    async with watched.get("/fleet/events") as response:
        await anext(events_of(response))
        refused = await watched.get("/fleet/events")
        detail = await problem_of(refused, HTTPStatus.SERVICE_UNAVAILABLE)
        assert detail == "1 event streams of 127.0.0.1 are open already"
    assert EventStreams()._limit_of_a_client == event_stream.MAX_STREAMS_OF_A_CLIENT
    assert event_stream.MAX_STREAMS_OF_A_CLIENT < event_stream.MAX_STREAMS


async def test_a_client_that_left_makes_room_before_the_next_write_to_it(
    watched: TestClient,
) -> None:
    streams = service_in(watched.app, EventStreams)
    streams._limit = 1
    response = await watched.get("/fleet/events")
    await anext(events_of(response))
    (request,) = streams._open
    response.close()
    async with asyncio.timeout(10):
        while request.transport is not None:  # noqa: ASYNC110  the server's side
            await asyncio.sleep(0.001)
    async with watched.get("/fleet/events") as again:
        assert again.status == HTTPStatus.OK
    # but closed streams cannot pile up
    streams._open = [request, request]
    assert (await watched.get("/fleet/events")).status == HTTPStatus.SERVICE_UNAVAILABLE


async def test_head_of_a_stream_is_not_allowed(watched: TestClient, gateway: FakeGateway) -> None:
    gateway.reports[REPORT] = report_state(REPORT, "pending")
    for path in ("/fleet/events", f"/reports/{REPORT}/events"):
        response = await watched.head(path)
        assert response.status == HTTPStatus.METHOD_NOT_ALLOWED
        assert response.headers["Allow"] == "GET"
    assert service_in(watched.app, EventStreams).open_count() == 0


async def test_the_stream_of_a_client_that_left_is_closed(
    watched: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "KEEP_ALIVE_SECONDS", 0.01)
    streams = service_in(watched.app, EventStreams)
    response = await watched.get("/fleet/events")
    await anext(events_of(response))
    assert streams.open_count() == 1

    response.close()

    async with asyncio.timeout(10):
        while streams.open_count():  # noqa: ASYNC110  nothing signals it to the outside
            await asyncio.sleep(0.01)


async def test_a_silent_stream_sends_keep_alive_lines(
    watched: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "KEEP_ALIVE_SECONDS", 0.01)
    async with watched.get("/fleet/events") as response:
        lines = [await response.content.readline() for _ in range(8)]
    assert b": still here\n" in lines


async def test_streams_end_when_the_api_stops(gateway: FakeGateway) -> None:
    gateway.poll(STORE, NOON, active=True)
    async with TestClient(TestServer(create_app(gateway))) as client:
        response = await client.get("/fleet/events")
        await anext(events_of(response))
        service_in(client.app, EventStreams).end_all()
        rest = await response.content.read()
    assert b"data" not in rest


# -- the progress of a report


async def test_the_events_of_a_report_have_every_step_and_end(
    watched: TestClient, gateway: FakeGateway
) -> None:
    gateway.reports[REPORT] = report_state(REPORT, "pending")
    async with watched.get(f"/reports/{REPORT}/events") as response:
        events = events_of(response)
        assert await anext(events) == ("report", {"report_id": REPORT, "status": "running"})

        gateway.reports[REPORT] = report_state(REPORT, "running", parts=(1, 8))
        gateway.changes.notify(REPORT)
        step = {"report_id": REPORT, "status": "running", "parts_done": 1, "parts": 8}
        assert await anext(events) == ("report", step)

        gateway.changes.notify(REPORT)  # nothing is new: no event is sent
        gateway.reports[REPORT] = report_state(REPORT, "complete", parts=(8, 8))
        gateway.changes.notify(REPORT)
        last = {"report_id": REPORT, "status": "complete", "parts_done": 8, "parts": 8}
        assert [event async for event in events] == [("report", last)]


async def test_a_report_that_has_ended_is_sent_at_once(
    watched: TestClient, gateway: FakeGateway
) -> None:
    gateway.reports[REPORT] = report_state(REPORT, "failed", reason="too late")
    async with watched.get(f"/reports/{REPORT}/events") as response:
        assert [event async for event in events_of(response)] == [
            ("report", {"report_id": REPORT, "status": "failed", "reason": "too late"})
        ]


@pytest.mark.parametrize(
    ("report_id", "status"),
    [(UNKNOWN, HTTPStatus.NOT_FOUND), ("x", HTTPStatus.UNPROCESSABLE_ENTITY)],
)
async def test_the_events_of_an_unknown_report_are_an_error(
    watched: TestClient, report_id: str, status: HTTPStatus
) -> None:
    await problem_of(await watched.get(f"/reports/{report_id}/events"), status)


async def test_only_the_first_request_waits_for_slow_figures(
    watched: TestClient, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_service, "FIRST_FIGURES_SECONDS", 0.02)
    waits: list[Any] = []
    wait = asyncio.wait

    async def noted(tasks: Any, **options: Any) -> Any:
        waits.append(options)
        return await wait(tasks, **options)

    async def never(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio, "wait", noted)
    gateway.answer = never  # type: ignore[method-assign,assignment]
    for _ in range(3):
        assert (await watched.get("/fleet")).status == HTTPStatus.OK
    assert len(waits) == 1
