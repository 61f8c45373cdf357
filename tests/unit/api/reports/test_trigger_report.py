from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from api.reports.service import MAX_OPEN_REPORTS
from stream_app.contracts.report_requests import ReportRequest
from stream_app.errors import BrokerUnavailableError, WorkersBehindError
from tests.unit.api.answers import STORE, UNKNOWN, problem_of

if TYPE_CHECKING:
    from tests.fakes import FakeGateway
    from tests.http_client import TestClient

PATH = f"/trigger_report/{STORE}"
NOON = 1_710_072_000_000_000  # 2024-03-10T12:00:00Z


async def test_a_request_is_accepted_and_sent(client: TestClient, gateway: FakeGateway) -> None:
    response = await client.post(PATH)
    assert response.status == HTTPStatus.ACCEPTED
    assert response.headers["Content-Type"] == "application/json"
    body = await response.json()
    report_id = body["report_id"]
    assert body == {"report_id": str(UUID(report_id))}
    assert response.headers["Location"] == f"/get_report/{report_id}"
    assert response.headers["Retry-After"] == "1"
    assert gateway.requests == [ReportRequest(report_id, STORE)]

    followed = await client.get(response.headers["Location"])
    assert followed.status == HTTPStatus.ACCEPTED


async def test_every_request_is_a_report_of_its_own(client: TestClient) -> None:
    ids = [(await (await client.post(PATH)).json())["report_id"] for _ in range(5)]
    assert len(set(ids)) == 5


@pytest.mark.parametrize("form", [STORE.upper(), STORE.replace("-", ""), f"%20{STORE}"])
async def test_a_store_is_found_by_any_form_of_its_id(
    client: TestClient, gateway: FakeGateway, form: str
) -> None:
    response = await client.post(f"/trigger_report/{form}")
    assert response.status == HTTPStatus.ACCEPTED
    assert gateway.requests[0].store_id == STORE


@pytest.mark.parametrize("store_id", ["1", "all", STORE + "0", STORE[:-1], "%00", "x" * 5000])
async def test_a_store_id_that_is_no_uuid_is_422(
    client: TestClient, gateway: FakeGateway, store_id: str
) -> None:
    detail = await problem_of(
        await client.post(f"/trigger_report/{store_id}"), HTTPStatus.UNPROCESSABLE_ENTITY
    )
    assert detail.startswith("store_id is not a UUID: ")
    assert gateway.requests == []


async def test_an_unknown_store_is_404(client: TestClient, gateway: FakeGateway) -> None:
    detail = await problem_of(await client.post(f"/trigger_report/{UNKNOWN}"), HTTPStatus.NOT_FOUND)
    assert detail == f"store {UNKNOWN} is unknown: it has no poll, hours or timezone"
    assert gateway.requests == []


@pytest.mark.parametrize(
    ("body", "reference_time"),
    [
        ("", None),
        (" \n", None),
        ("{}", None),
        ('{"reference_time": null}', None),
        ('{"reference_time": "2024-03-10T12:00:00Z"}', NOON),
        ('{"reference_time": "2024-03-10 12:00:00 UTC"}', NOON),
        ('{"reference_time": "2024-03-10T07:00:00-05:00"}', NOON),
        ('{"reference_time": "2024-03-10T12:00:00.000001"}', NOON + 1),
    ],
)
async def test_a_body_may_name_the_reference_time(
    client: TestClient, gateway: FakeGateway, body: str, reference_time: int | None
) -> None:
    response = await client.post(PATH, data=body)
    assert response.status == HTTPStatus.ACCEPTED
    assert gateway.requests[0].reference_time == reference_time


@pytest.mark.parametrize(
    "body",
    [b"{", b"reference_time=now", b'{"a": NaN}', b"\xff\xfe", b"[" * 5000, b'"\\ud800"'],
)
async def test_a_body_that_is_no_json_is_400(
    client: TestClient, gateway: FakeGateway, body: bytes
) -> None:
    detail = await problem_of(await client.post(PATH, data=body), HTTPStatus.BAD_REQUEST)
    assert detail.startswith("the body is not JSON: ")
    assert gateway.requests == []


KNOWN = "reference_time, end, start, duration, daily, exact and webhook"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ([], "the body is not a JSON object"),
        ("now", "the body is not a JSON object"),
        (None, "the body is not a JSON object"),
        ({"reference_tme": "x"}, f"unknown fields: 'reference_tme'; known are {KNOWN}"),
        ({"b": 1, "a": 2, "reference_time": None}, f"unknown fields: 'a, b'; known are {KNOWN}"),
        ({"reference_time": "now"}, "reference_time: not a time: 'now'"),
        ({"reference_time": "2024-03-10"}, "reference_time: not a time: '2024-03-10'"),
        ({"reference_time": NOON}, "reference_time: the time is not a text but int"),
        ({"reference_time": ""}, "reference_time: not a time: ''"),
        ({"reference_time": []}, "reference_time: the time is not a text but list"),
        (
            {"reference_time": "2024-03-10T12:00:00Z UTC"},
            "reference_time: a time with two timezones: '2024-03-10T12:00:00Z UTC'",
        ),
        (
            {"reference_time": "1969-12-31T23:59:59Z"},
            "reference_time: a time outside 1970 to 2100: -1000000 µs",
        ),
    ],
)
async def test_a_body_with_wrong_values_is_422(
    client: TestClient, gateway: FakeGateway, body: Any, reason: str
) -> None:
    response = await client.post(PATH, data=json.dumps(body))
    assert await problem_of(response, HTTPStatus.UNPROCESSABLE_ENTITY) == reason
    assert gateway.requests == []


async def test_many_unknown_fields_are_not_all_repeated(client: TestClient) -> None:
    body = {f"field{number}": 1 for number in range(1000)}
    response = await client.post(PATH, json=body)
    await problem_of(response, HTTPStatus.UNPROCESSABLE_ENTITY)


async def test_too_many_open_reports_are_503(client: TestClient, gateway: FakeGateway) -> None:
    gateway.open = MAX_OPEN_REPORTS - 1
    assert (await client.post(PATH)).status == HTTPStatus.ACCEPTED
    gateway.open = MAX_OPEN_REPORTS
    response = await client.post(PATH)
    assert (
        await problem_of(response, HTTPStatus.SERVICE_UNAVAILABLE)
        == f"{MAX_OPEN_REPORTS} reports are waiting already"
    )
    assert response.headers["Retry-After"] == "1"
    assert len(gateway.requests) == 1


async def test_a_broker_out_of_reach_is_503(client: TestClient, gateway: FakeGateway) -> None:
    gateway.error = BrokerUnavailableError("no Kafka broker answers at secret-host:9092")
    response = await client.post(PATH)
    detail = await problem_of(response, HTTPStatus.SERVICE_UNAVAILABLE)
    assert detail == "the Kafka broker is out of reach; try again later"
    assert response.headers["Retry-After"] == "5"


async def test_workers_that_are_behind_are_503(client: TestClient, gateway: FakeGateway) -> None:
    gateway.error = WorkersBehindError("the workers are still applying what came in")
    response = await client.post(PATH)
    detail = await problem_of(response, HTTPStatus.SERVICE_UNAVAILABLE)
    assert detail == "the workers are still applying what came in"
    assert response.headers["Retry-After"] == "5"
