from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from stream_app.errors import BrokerUnavailableError
from tests.unit.api.answers import problem_of

if TYPE_CHECKING:
    from tests.fakes import FakeGateway
    from tests.http_client import TestClient


async def test_the_api_is_alive_even_without_a_broker(
    client: TestClient, gateway: FakeGateway
) -> None:
    gateway.error = BrokerUnavailableError("no Kafka broker answers")
    gateway.not_ready_reason = "the Kafka broker is out of reach"
    response = await client.get("/healthz")
    assert response.status == HTTPStatus.OK
    assert await response.json() == {"status": "ok"}


async def test_the_api_is_ready(client: TestClient) -> None:
    response = await client.get("/readyz")
    assert response.status == HTTPStatus.OK
    assert await response.json() == {"status": "ready"}


async def test_an_api_that_is_not_ready_says_why_and_when_to_ask_again(
    client: TestClient, gateway: FakeGateway
) -> None:
    gateway.not_ready_reason = "24 source partitions have no worker now"
    response = await client.get("/readyz")
    detail = await problem_of(response, HTTPStatus.SERVICE_UNAVAILABLE)
    assert detail == "24 source partitions have no worker now"
    assert response.headers["Retry-After"] == "5"
