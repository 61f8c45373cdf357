"""No route with a body ignores a field of it."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from api.app import OPERATIONS
from tests.unit.api.answers import STORE, problem_of

if TYPE_CHECKING:
    from tests.fakes import FakeGateway
    from tests.http_client import TestClient

POLL = {"status": "active"}
BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "/trigger_report/{store_id}"): {},
    ("POST", "/trigger_report"): {},
    ("POST", "/stores/{store_id}/status"): POLL,
    ("PUT", "/stores/{store_id}/business_hours"): {"hours": []},
    ("PUT", "/stores/{store_id}/timezone"): {"timezone_str": "UTC"},
}
MANY = ("POST", "/status")
"""The route whose items are refused one by one."""

ITEM = {"store_id": STORE, **POLL}


def test_every_route_with_a_body_is_tested_here() -> None:
    assert {key for key, operation in OPERATIONS.items() if operation.body} == {*BODIES, MANY}


@pytest.mark.parametrize("route", BODIES)
@pytest.mark.parametrize("name", ["nonsense", "timestamp", "referenceTime", ""])
async def test_an_unknown_field_is_refused_and_named(
    client: TestClient, gateway: FakeGateway, route: tuple[str, str], name: str
) -> None:
    method, path = route
    body = {**BODIES[route], name: "2023-01-25T00:00:00Z"}
    response = await client.request(method, path.format(store_id=STORE), json=body)
    detail = await problem_of(response, HTTPStatus.UNPROCESSABLE_ENTITY)
    assert detail.startswith(f"unknown fields: {name!r}; known are ")
    assert gateway.requests == []
    assert {record.topic for record in gateway.broker.records} <= {"dead-letters"}


@pytest.mark.parametrize("form", ["array", "lines"])
async def test_an_item_with_an_unknown_field_is_refused_and_not_dated_now(
    client: TestClient, gateway: FakeGateway, form: str
) -> None:
    items = [{**ITEM, "timestamp": "2023-01-25T00:00:00Z"}, ITEM]
    data = orjson.dumps(items) if form == "array" else b"\n".join(map(orjson.dumps, items))
    response = await client.post("/status", data=data)
    answer = await response.json()
    assert (answer["accepted"], answer["refused"]) == (1, 1)
    assert answer["items"][0]["reason"].startswith("unknown fields: 'timestamp'; known are ")
    assert len(gateway.broker.polls()) == 1
    assert len(gateway.broker.dead_letters()) == 1


async def test_an_unknown_field_of_a_row_of_business_hours_is_refused(client: TestClient) -> None:
    row = {"day": 0, "start_time_local": "09:00", "end_time_local": "17:00", "closed": True}
    response = await client.put(f"/stores/{STORE}/business_hours", json={"hours": [row]})
    assert "row 0: neither" in await problem_of(response, HTTPStatus.UNPROCESSABLE_ENTITY)
