"""The API during and after an outage of the broker: it needs no restart and loses no fact."""

from __future__ import annotations

import asyncio
import os
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp.test_utils import TestServer

from api.app import create_app
from api.gateway import Gateway
from stream_app.kafka.bootstrap import resolve_bootstrap
from stream_app.local.kafka.java_cluster import JavaKafkaCluster
from stream_app.settings import Settings
from tests.fakes import now
from tests.http_client import TestClient
from tests.integration.topic_records import read_polls

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.kafka

OUTAGE_SECONDS = float(os.environ.get("TEST_AWAY_SECONDS", "8"))


async def status_of(client: TestClient, path: str, body: Any, method: str = "POST") -> int:
    async with client.request(method, path, json=body) as response:
        if response.status in (429, 503):
            assert int(response.headers["Retry-After"]) >= 1
        return response.status


async def wait_for(status: int, *call: Any) -> None:
    while await status_of(*call) != status:  # noqa: ASYNC110  over HTTP
        await asyncio.sleep(0.2)


async def test_the_api_answers_503_while_the_broker_is_away_and_accepts_again_afterwards(
    tmp_path: Path,
) -> None:
    settings = Settings.from_environment(os.environ, data_dir=tmp_path)
    broker = JavaKafkaCluster(settings.data_dir, settings.cache_dir)
    started = await broker.start()
    store, other = str(uuid.uuid4()), str(uuid.uuid4())
    path = f"/stores/{store}/status"
    settings = resolve_bootstrap(settings.replace(kafka_bootstrap=started.bootstrap))
    gateway = Gateway(settings, now)
    try:
        async with TestClient(TestServer(create_app(gateway))) as client:
            await wait_for(202, client, path, {"status": "active"})
            await wait_for(202, client, f"/stores/{store}/timezone", {"timezone": "UTC"}, "PUT")
            await broker.stop()

            stopped_at = asyncio.get_running_loop().time()
            statuses = set()
            while asyncio.get_running_loop().time() < stopped_at + OUTAGE_SECONDS:
                calls = [
                    status_of(client, path, {"status": "active"}),
                    status_of(client, "/status", [{"store_id": other, "status": "active"}]),
                    status_of(client, f"/stores/{other}/timezone", {"timezone": "UTC"}, "PUT"),
                    status_of(client, path, {"status": "nonsense"}),
                    status_of(client, f"/stores/{store}", None, "GET"),
                ]
                statuses.update(await asyncio.gather(*calls))
            assert statuses == {503}
            in_flight = gateway.ingestion._publisher.budget.used
            assert 0 < in_flight < 100_000, "the API accepts nothing once it notices the outage"

            await broker.start()
            await wait_for(202, client, path, {"status": "inactive"})
            await wait_for(202, client, "/status", [{"store_id": other, "status": "active"}])
            await wait_for(
                202, client, f"/stores/{other}/timezone", {"timezone": "Asia/Gaza"}, "PUT"
            )
            await wait_for(200, client, f"/stores/{other}", None, "GET")
            async with client.get(f"/stores/{other}") as response:
                assert (await response.json())["timezone"] == "Asia/Gaza"
            assert await status_of(client, f"/trigger_report/{store}", None) == 202
            while gateway.ingestion._publisher.budget.used:  # noqa: ASYNC110  other tasks
                await asyncio.sleep(0.05)
            polls = await read_polls(settings, store)
            assert {active for _, active in polls} == {0, 1}

            await broker.stop()
            assert await status_of(client, path, {"status": "active"}) == 503
        # the API stops, although records in flight cannot be sent
    finally:
        await broker.stop()
