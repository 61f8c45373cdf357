from __future__ import annotations

import asyncio
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest

from tests.fakes import report_state
from tests.unit.api.answers import STORE, UNKNOWN, problem_of

if TYPE_CHECKING:
    from tests.fakes import FakeGateway
    from tests.http_client import TestClient

PATH = f"/trigger_report/{STORE}"
NOON = {"reference_time": "2024-03-10T12:00:00Z"}


async def trigger(client: TestClient, key: str, body: object = None) -> str:
    response = await client.post(PATH, json=body or {}, headers={"Idempotency-Key": key})
    assert response.status == HTTPStatus.ACCEPTED
    report_id: str = (await response.json())["report_id"]
    assert response.headers["Location"] == f"/get_report/{report_id}"
    return report_id


@pytest.mark.parametrize("body", [{}, NOON])
@pytest.mark.parametrize("key", ["a", "x" * 255, "3f2b: again?", "clé"])
async def test_the_same_key_is_the_same_report_and_sends_once(
    client: TestClient, gateway: FakeGateway, key: str, body: object
) -> None:
    ids = [await trigger(client, key, body) for _ in range(3)]
    assert len(set(ids)) == 1
    assert [request.report_id for request in gateway.requests] == ids[:1]


async def test_the_same_key_is_the_same_report_when_it_is_done(
    client: TestClient, gateway: FakeGateway
) -> None:
    report_id = await trigger(client, "a")
    gateway.reports[report_id] = replace(gateway.reports[report_id], status="failed")
    assert await trigger(client, "a") == report_id
    assert len(gateway.requests) == 1


async def test_every_api_process_makes_the_same_report_of_a_key(client: TestClient) -> None:
    """The id is fixed for ever: another version of the API may get the repeated request."""
    assert await trigger(client, "a") == "ea3e55d0-a483-5fad-aa74-78ba6b76fcdd"


async def test_other_keys_are_other_reports(client: TestClient, gateway: FakeGateway) -> None:
    assert await trigger(client, "a") != await trigger(client, "b")
    assert len(gateway.requests) == 2


async def test_a_key_for_another_body_is_422(client: TestClient, gateway: FakeGateway) -> None:
    await trigger(client, "a", NOON)
    for body in ({}, {"reference_time": "2024-03-10T12:00:01Z"}):
        response = await client.post(PATH, json=body, headers={"Idempotency-Key": "a"})
        detail = await problem_of(response, HTTPStatus.UNPROCESSABLE_ENTITY)
        assert detail == "this Idempotency-Key was used for another request"
    assert len(gateway.requests) == 1


async def test_a_key_for_another_store_is_422(client: TestClient, gateway: FakeGateway) -> None:
    gateway.add_store(UNKNOWN)
    await trigger(client, "a")
    response = await client.post(f"/trigger_report/{UNKNOWN}", headers={"Idempotency-Key": "a"})
    await problem_of(response, HTTPStatus.UNPROCESSABLE_ENTITY)
    assert len(gateway.requests) == 1


async def test_the_same_time_in_another_form_is_the_same_body(
    client: TestClient, gateway: FakeGateway
) -> None:
    first = await trigger(client, "a", NOON)
    assert await trigger(client, "a", {"reference_time": "2024-03-10 12:00:00 UTC"}) == first
    assert len(gateway.requests) == 1


async def test_a_report_whose_request_is_not_known_yet_is_the_same_report(
    client: TestClient, gateway: FakeGateway
) -> None:
    """The result may be read before the request: they are in two topics."""
    report_id = await trigger(client, "a", NOON)
    gateway.reports[report_id] = report_state(report_id, "running")
    assert await trigger(client, "a", NOON) == report_id
    assert len(gateway.requests) == 1


@pytest.mark.parametrize("key", ["", "x" * 256])
async def test_an_unusable_key_is_422(client: TestClient, gateway: FakeGateway, key: str) -> None:
    response = await client.post(PATH, headers={"Idempotency-Key": key})
    detail = await problem_of(response, HTTPStatus.UNPROCESSABLE_ENTITY)
    assert detail == "Idempotency-Key is not 1 to 255 printable characters"
    assert gateway.requests == []


async def test_a_key_that_is_not_utf8_is_422(client: TestClient, gateway: FakeGateway) -> None:
    reader, writer = await asyncio.open_connection(client.host, client.port)
    writer.write(
        f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n".encode()
        + b"Idempotency-Key: \xff\r\nContent-Length: 0\r\n\r\n"
    )
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 422 ")
    assert b"Idempotency-Key is not 1 to 255 printable characters" in answer
    assert gateway.requests == []


async def test_two_keys_are_refused(client: TestClient, gateway: FakeGateway) -> None:
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    response = await client.post("/trigger_report", headers=headers)
    detail = await problem_of(response, HTTPStatus.UNPROCESSABLE_ENTITY)
    assert detail == "Idempotency-Key is there 2 times: say it once"
    assert gateway.requests == []
