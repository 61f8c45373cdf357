"""A request for a report may name the URL of a webhook."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from aiohttp.test_utils import TestServer

from api.app import create_app
from stream_app.contracts.partitioning import partition_of
from stream_app.contracts.topics import WEBHOOKS
from stream_app.contracts.webhooks import decode_webhook
from stream_app.errors import BrokerUnavailableError
from stream_app.settings import Settings
from tests.fakes import FakeGateway, now
from tests.http_client import TestClient
from tests.unit.api.answers import STORE, problem_of
from tests.unit.api.webhooks.receiver import SECRET

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SETTINGS = Settings.from_environment({}, webhook_hosts="hooks.example.com", webhook_secret=SECRET)
URL = "https://hooks.example.com/x?y=1"
BODY = {"webhook": {"url": URL}}
PATHS = [f"/trigger_report/{STORE}", "/trigger_report"]


@pytest.fixture
async def gateway() -> FakeGateway:
    return FakeGateway(STORE, settings=SETTINGS)


@pytest.fixture
async def client(gateway: FakeGateway) -> AsyncIterator[TestClient]:
    async with TestClient(TestServer(create_app(gateway))) as started:
        yield started


@pytest.mark.parametrize("path", PATHS)
async def test_a_webhook_is_stored_before_its_report_is_requested(
    gateway: FakeGateway, client: Any, path: str
) -> None:
    response = await client.post(path, json=BODY)
    assert response.status == HTTPStatus.ACCEPTED
    report_id = (await response.json())["report_id"]

    (record,) = [record for record in gateway.broker.records if record.topic == WEBHOOKS.name]
    assert record.key == report_id.encode()
    assert record.partition == partition_of(record.key, SETTINGS.partitions)
    webhook = decode_webhook(record.value)
    assert (webhook.report_id, webhook.url) == (report_id, URL)
    assert abs(webhook.requested_at - now()) < 60_000_000
    assert [request.report_id for request in gateway.requests] == [report_id]


@pytest.mark.parametrize("path", PATHS)
async def test_a_webhook_that_cannot_be_stored_requests_no_report(
    gateway: FakeGateway, client: Any, path: str
) -> None:
    gateway.broker.error = BrokerUnavailableError("away")
    response = await client.post(path, json=BODY)
    await problem_of(response, HTTPStatus.SERVICE_UNAVAILABLE)
    assert gateway.requests == []


async def test_a_repeated_request_stores_the_webhook_again_and_requests_one_report(
    gateway: FakeGateway, client: Any
) -> None:
    headers = {"Idempotency-Key": "a"}
    first = await client.post(PATHS[0], json=BODY, headers=headers)
    again = await client.post(PATHS[0], json=BODY, headers=headers)
    assert await first.json() == await again.json()
    assert len(gateway.requests) == 1
    assert len(gateway.broker.records) == 2

    other = {**BODY, "reference_time": "2024-03-10T12:00:00Z"}
    response = await client.post(PATHS[0], json=other, headers=headers)
    assert response.status == HTTPStatus.UNPROCESSABLE_ENTITY
    assert len(gateway.broker.records) == 2


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("webhook", "reason"),
    [
        ({"url": "https://evil.com/"}, "STORE_UPTIME_WEBHOOK_HOSTS does not list 'evil.com'"),
        ({"url": "http://hooks.example.com/"}, "does not list 'hooks.example.com' for http"),
        ({"url": 7}, "not an https URL"),
        ({}, "not an object such as"),
        ({"url": URL, "secret": "x"}, "not an object such as"),
        ("https://hooks.example.com/", "not an object such as"),
    ],
)
async def test_an_unusable_webhook_is_refused(
    gateway: FakeGateway, client: Any, path: str, webhook: Any, reason: str
) -> None:
    response = await client.post(path, data=orjson.dumps({"webhook": webhook}))
    assert reason in await problem_of(response, HTTPStatus.UNPROCESSABLE_ENTITY)
    assert (gateway.requests, gateway.broker.records) == ([], [])


async def test_without_hosts_the_error_names_the_setting() -> None:
    gateway = FakeGateway(STORE)
    async with TestClient(TestServer(create_app(gateway))) as client:
        response = await client.post(PATHS[0], json=BODY)
        detail = await problem_of(response, HTTPStatus.UNPROCESSABLE_ENTITY)
    assert detail == "webhooks are off here: STORE_UPTIME_WEBHOOK_HOSTS lists no host"
