"""The description of the API is whole and valid, and fits the answers of the API."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
import pytest
import requests
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.app import OPERATIONS, RESOURCES, create_app
from api.ingest.schemas import MAX_ARRAY_BYTES, MAX_POLL_BYTES
from api.openapi.openapi import DescriptionError, openapi
from api.openapi.operation import Resource
from api.public.status import PublicStatus
from api.reports.representations import MEDIA
from api.reports.schemas import MAX_BODY_BYTES, MAX_STORES_BYTES
from api.stores.schemas import MAX_HOURS_BYTES, MAX_PAGE_STORES, MAX_TIMEZONE_BYTES, PAGE_STORES
from stream_app.contracts.report_requests import MAX_STORES_NAMED, FleetRequest, ReportRequest
from stream_app.domain.report_spec import ReportSpec
from stream_app.errors import BrokerUnavailableError
from stream_app.version import __version__
from tests.conformance import load_description
from tests.fakes import SETTINGS, FakeGateway, report_state
from tests.live_server import served
from tests.report_contents import FORMS, NOON, AnsweringGateway, fleet_content, store_content
from tests.unit.api.answers import REPORT, STORE, UNKNOWN

if TYPE_CHECKING:
    from aiohttp import web

    from tests.http_client import TestClient

schema = load_description()
CONFORMANCE = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


def application(gateway: FakeGateway | None = None) -> web.Application:
    return create_app(gateway or FakeGateway())


async def test_the_description_is_served(client: TestClient) -> None:
    response = await client.get("/openapi.json")
    assert response.headers["Content-Type"] == "application/json"
    document = await response.json()
    assert document == openapi(application(), RESOURCES)
    assert document["info"]["version"] == __version__


def test_the_description_is_a_valid_document() -> None:
    schema.validate()
    operations = [
        operation
        for methods in openapi(application(), RESOURCES)["paths"].values()
        for operation in methods.values()
    ]
    assert all(operation["summary"] for operation in operations)
    assert len({operation["operationId"] for operation in operations}) == len(operations)


def test_a_route_without_a_description_is_an_error() -> None:
    app = application()

    async def extra(_request: web.Request) -> web.Response:
        raise NotImplementedError

    app.router.add_get("/extra", extra)
    with pytest.raises(DescriptionError, match=r"not described: \[\('GET', '/extra'\)\]"):
        openapi(app, RESOURCES)


def test_a_description_without_a_route_is_an_error() -> None:
    gone = Resource(operations={("GET", "/gone"): OPERATIONS["GET", "/healthz"]})
    with pytest.raises(DescriptionError, match=r"no route: \[\('GET', '/gone'\)\]"):
        openapi(application(), [*RESOURCES, gone])


def test_limits_are_those_of_the_code() -> None:
    document = openapi(application(), RESOURCES)
    parameters = {p["name"]: p for p in document["paths"]["/stores"]["get"]["parameters"]}
    limit = parameters["limit"]["schema"]
    assert (limit["maximum"], limit["default"]) == (MAX_PAGE_STORES, PAGE_STORES)
    store_ids = document["components"]["schemas"]["FleetReportBody"]["properties"]["store_ids"]
    assert store_ids["maxItems"] == MAX_STORES_NAMED


UNKNOWN_PUBLIC_STORE = "22222222-0000-4000-8000-000000000000"
SETTINGS_WITH_PAGE = SETTINGS.replace(public_stores=f"{STORE}=Downtown,{UNKNOWN_PUBLIC_STORE}")


class Call(NamedTuple):
    """A request to a gateway, and the status of the answer that its operation describes."""

    label: str
    status: int
    gateway: dict[str, Any]
    sent: dict[str, Any] = {}  # noqa: RUF012  nobody writes into it
    store: str = STORE


AWAY = {"error": BrokerUnavailableError("away")}
FULL = {"unacknowledged": 0}
BUSY = {"reading": 0}


def fleet(form: ReportSpec) -> dict[str, Any]:
    head, rows = fleet_content(form)
    reports = report("complete", content=head, parts=(1, 1))
    return {**reports, "rows": {REPORT: [[orjson.dumps(rows)]]}}


def report(status: Any, **fields: Any) -> dict[str, Any]:
    return {"reports": {REPORT: report_state(REPORT, status, **fields)}}


def one_store(form: ReportSpec) -> dict[str, Any]:
    return report("complete", content=store_content(form))


def changed() -> dict[str, Any]:
    """Return a report that would have other figures and another provenance now."""
    content = store_content(ReportSpec())
    return report("complete", content={**content, "uptime_last_hour": 7, "lookback": "3h"})


NO_PAGE = {"public_status": PublicStatus({}, None, None)}  # type: ignore[arg-type]
DIFF = "GET /reports/{report_id}/diff"
TRIGGER, TRIGGER_ALL = "POST /trigger_report/{store_id}", "POST /trigger_report"
GET = "GET /get_report/{report_id}"
POLL, POLLS = "POST /stores/{store_id}/status", "POST /status"
HOURS, ZONE = "PUT /stores/{store_id}/business_hours", "PUT /stores/{store_id}/timezone"
STORE_GET, STORES = "GET /stores/{store_id}", "GET /stores"
REMOVE = "DELETE /stores/{store_id}"
FLEET, FLEET_EVENTS = "GET /fleet", "GET /fleet/events"
EVENTS = "GET /reports/{report_id}/events"
SUMMARY = "GET /stores/{store_id}/summary"
TIMELINE, INCIDENTS = "GET /stores/{store_id}/timeline", "GET /stores/{store_id}/incidents"
ACTIVE = {"json": {"status": "active"}}
ITEM = {"store_id": STORE, "status": "active"}

CALLS = [
    Call(TRIGGER, 202, {}),
    Call(TRIGGER, 202, {}, {"headers": {"Idempotency-Key": "a"}}),
    Call(TRIGGER, 202, {}, {"json": {"start": "2024-03-01T00:00Z", "end": "2024-03-02T00:00Z"}}),
    Call(TRIGGER, 202, {}, {"json": {"duration": "P1DT2H", "daily": True, "exact": True}}),
    Call(TRIGGER, 400, {}, {"data": "no"}),
    Call(TRIGGER, 404, {}, store=UNKNOWN),
    Call(TRIGGER, 413, {}, {"data": b" " * (MAX_BODY_BYTES + 1)}),
    *(
        Call(label, 415, {}, {"data": "{}", "headers": {"Content-Encoding": "rot13"}})
        for label in (TRIGGER, TRIGGER_ALL, POLL, POLLS, HOURS, ZONE)
    ),
    Call(TRIGGER, 422, {}, store="7"),
    Call(TRIGGER, 429, BUSY, {"json": {}}),
    Call(TRIGGER, 503, AWAY),
    Call(TRIGGER, 503, {"open": 10_000}),
    Call(TRIGGER_ALL, 202, {}),
    Call(TRIGGER_ALL, 400, {}, {"data": "no"}),
    Call(TRIGGER_ALL, 404, {}, {"json": {"store_ids": [UNKNOWN]}}),
    Call(TRIGGER_ALL, 413, {}, {"data": b" " * (MAX_STORES_BYTES + 1)}),
    Call(TRIGGER_ALL, 422, {}, {"json": {"store_ids": []}}),
    Call(TRIGGER_ALL, 429, BUSY, {"json": {}}),
    Call(TRIGGER_ALL, 503, AWAY),
    *(
        Call(GET, 200, make_report(form), {"headers": {"Accept": media}})
        for form in FORMS.values()
        for make_report in (one_store, fleet)
        for media in MEDIA
    ),
    Call(GET, 202, report("pending")),
    Call(GET, 202, report("running", parts=(3, 8))),
    Call(GET, 404, {}),
    Call(GET, 410, report("failed", reason="a reason")),
    Call(GET, 422, {}, store="7"),
    Call(GET, 429, {**BUSY, **fleet(ReportSpec())}),
    Call(GET, 500, report("complete")),
    Call(GET, 503, AWAY),
    Call(POLL, 202, {}, ACTIVE),
    Call(POLL, 400, {}, {"data": "no"}),
    Call(POLL, 413, {}, {"data": b" " * (MAX_POLL_BYTES + 1)}),
    Call(POLL, 422, {}, ACTIVE, store="7"),
    Call(POLL, 429, FULL, ACTIVE),
    Call(POLL, 503, AWAY, ACTIVE),
    Call(POLLS, 202, {}, {"json": [ITEM, {}]}),
    Call(POLLS, 202, {}, {"data": "\n".join([orjson.dumps(ITEM).decode(), *["{}"] * 1001])}),
    Call(POLLS, 400, {}, {"data": "no"}),
    Call(POLLS, 413, {}, {"data": b"[" + b" " * MAX_ARRAY_BYTES}),
    Call(POLLS, 422, {}, {"data": "7"}),
    Call(POLLS, 422, {}, {"json": []}),
    Call(POLLS, 422, {}, {"json": [{}] * 1001}),
    Call(POLLS, 429, BUSY, {"json": [ITEM]}),
    Call(POLLS, 503, AWAY, {"json": [ITEM]}),
    Call(HOURS, 202, {}, {"json": {"hours": []}}),
    Call(HOURS, 202, {}, {"json": {"hours": [[0, "09:00", "09:00"]]}}),
    Call(HOURS, 400, {}, {"data": "no"}),
    Call(HOURS, 413, {}, {"data": b" " * (MAX_HOURS_BYTES + 1)}),
    Call(HOURS, 422, {}, {"json": {}}),
    Call(HOURS, 429, FULL, {"json": {"hours": []}}),
    Call(HOURS, 503, AWAY, {"json": {"hours": []}}),
    Call(ZONE, 202, {}, {"json": {"timezone": "Mars/Base"}}),
    Call(ZONE, 400, {}, {"data": "no"}),
    Call(ZONE, 413, {}, {"data": b" " * (MAX_TIMEZONE_BYTES + 1)}),
    Call(ZONE, 422, {}, {"json": {}}),
    Call(ZONE, 429, FULL, {"json": {"timezone": "UTC"}}),
    Call(ZONE, 503, AWAY, {"json": {"timezone": "UTC"}}),
    Call(STORE_GET, 200, {}),
    Call(STORE_GET, 404, {}, store=UNKNOWN),
    Call(STORE_GET, 422, {}, store="7"),
    Call(STORE_GET, 503, AWAY),
    Call(REMOVE, 202, {}),
    Call(REMOVE, 404, {}, store=UNKNOWN),
    Call(REMOVE, 422, {}, store="7"),
    Call(REMOVE, 429, FULL),
    Call(REMOVE, 503, AWAY),
    Call(STORES, 200, {}),
    Call(STORES, 422, {}, {"params": {"limit": "0"}}),
    Call(STORES, 503, AWAY),
    Call(FLEET, 200, {}),
    Call(FLEET, 200, {"no poll": True}),
    Call(FLEET, 200, {}, {"params": {"state": "up,down", "limit": "1", "sort": "id"}}),
    Call(FLEET, 422, {}, {"params": {"page": "0"}}),
    Call(FLEET, 503, AWAY),
    Call(FLEET_EVENTS, 200, {}),
    Call(FLEET_EVENTS, 422, {}, {"params": {"store_id": "7"}}),
    Call(FLEET_EVENTS, 503, AWAY),
    Call(EVENTS, 200, report("running", parts=(3, 8))),
    Call(EVENTS, 200, report("complete", content={})),
    Call(EVENTS, 200, report("failed", reason="a reason")),
    Call(EVENTS, 404, {}),
    Call(EVENTS, 422, {}, store="7"),
    Call(EVENTS, 503, AWAY),
    Call(INCIDENTS, 200, {}, {"params": {"limit": "2"}}),
    Call(TIMELINE, 200, {}, {"params": {"from": "2024-03-09T00:00Z"}}),
    Call(SUMMARY, 200, {"no poll": True}),
    *(
        call
        for view in (SUMMARY, TIMELINE, INCIDENTS)
        for call in (
            Call(view, 200, {}),
            Call(view, 404, {}, store=UNKNOWN),
            Call(view, 422, {}, {"params": {"x": "1"}}),
            Call(view, 503, AWAY),
        )
    ),
    *(
        Call(DIFF, 200, {**make_report(form), "requests": [request]})
        for form in FORMS.values()
        for make_report, request in (
            (one_store, ReportRequest(REPORT, STORE, spec=form)),
            (fleet, FleetRequest(REPORT, spec=form)),
        )
    ),
    Call(DIFF, 200, {**changed(), "requests": [ReportRequest(REPORT, STORE)]}),
    Call(DIFF, 404, {}),
    Call(DIFF, 409, report("running")),
    Call(DIFF, 422, {}, store="7"),
    Call(DIFF, 429, {**BUSY, **fleet(ReportSpec()), "requests": [FleetRequest(REPORT)]}),
    Call(DIFF, 500, {**report("complete"), "requests": [ReportRequest(REPORT, STORE)]}),
    Call(DIFF, 503, AWAY),
    *(
        call
        for badge in ("GET /badges/{store_id}.svg", "GET /public/badges/{store_id}.svg")
        for call in (
            Call(badge, 200, {}, {"params": {"window": "day"}}),
            Call(badge, 404, {}, store=UNKNOWN),
            Call(badge, 422, {}, store="7"),
            Call(badge, 503, AWAY),
        )
    ),
    *(
        call
        for shown in ("status.json", "badges/fleet.svg")
        for call in (
            Call(f"GET /public/{shown}", 200, {}),
            Call(f"GET /public/{shown}", 404, NO_PAGE),
            Call(f"GET /public/{shown}", 503, AWAY),
        )
    ),
    Call("GET /badges/fleet.svg", 200, {}),
    Call("GET /badges/fleet.svg", 503, AWAY),
    Call("GET /healthz", 200, {}),
    Call("GET /readyz", 200, {}),
    Call("GET /readyz", 503, {"not_ready_reason": "no worker"}),
    Call("GET /metrics", 200, {}),
    Call("GET /openapi.json", 200, {}),
    Call("GET /asyncapi.json", 200, {}),
    Call("GET /docs", 200, {}),
]

HARD_TO_GET = {
    408: "half a minute without a byte, for which no test waits",
    500: "no request causes one; test_problems.py makes one",
}


def read(response: requests.Response) -> None:
    """Read the whole answer, or the first event of a stream."""
    if response.headers["Content-Type"].startswith("text/event-stream"):
        lines = []
        for line in response.iter_lines(chunk_size=1):
            lines.append(line + b"\n")
            if line.startswith(b"data:"):
                break
        response._content = b"".join(lines) + b"\n"
    assert response.content


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call.label} {call.status}")
def test_an_answer_is_as_described(call: Call) -> None:
    limits = {k: v for k, v in call.gateway.items() if k in {"unacknowledged", "reading"}}

    def create() -> web.Application:
        gateway = AnsweringGateway(STORE, settings=SETTINGS_WITH_PAGE, **limits)
        if "no poll" not in call.gateway:
            gateway.poll(STORE, NOON, active=True)
        for name in call.gateway.keys() - limits.keys() - {"no poll"}:
            setattr(gateway, name, call.gateway[name])
        return application(gateway)

    method, path = call.label.split(" ")
    report_id = REPORT if call.store == STORE else call.store
    with served(create) as address:
        values = {"store_id": call.store, "report_id": report_id}
        url = address + path.format_map(values)
        with requests.request(method, url, **call.sent, timeout=30, stream=True) as response:
            read(response)

    assert response.status_code == call.status, response.text
    case = schema[path][method].Case(path_parameters=values)
    # what else was sent matters to none of these checks
    case.validate_response(response, checks=CONFORMANCE)


def test_every_described_answer_is_tested_here() -> None:
    described_answers = {
        (f"{method} {path}", status)
        for (method, path), operation in OPERATIONS.items()
        for status in operation.answers
        if status not in HARD_TO_GET
    }
    seen = {(call.label, call.status) for call in CALLS}
    assert described_answers == {call for call in seen if call[1] not in HARD_TO_GET}
    assert (GET, HTTPStatus.INTERNAL_SERVER_ERROR) in seen
