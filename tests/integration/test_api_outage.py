"""The API while the broker is away, and after: no restart, no leak, nothing acknowledged lost."""

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
from tests.integration.topic_records import polls_of

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.kafka

AWAY_SECONDS = float(os.environ.get("TEST_AWAY_SECONDS", "8"))


async def answered(client: TestClient, path: str, body: Any, method: str = "POST") -> int:
    async with client.request(method, path, json=body) as response:
        if response.status in (429, 503):
            assert int(response.headers["Retry-After"]) >= 1
        return response.status


async def until(status: int, *call: Any) -> None:
    while await answered(*call) != status:  # noqa: ASYNC110  over HTTP
        await asyncio.sleep(0.2)


async def test_it_says_so_while_the_broker_is_away_and_goes_on_when_it_is_back(
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
            await until(202, client, path, {"status": "active"})
            await until(202, client, f"/stores/{store}/timezone", {"timezone": "UTC"}, "PUT")
            await broker.stop()

            away_from = asyncio.get_running_loop().time()
            statuses = set()
            while asyncio.get_running_loop().time() < away_from + AWAY_SECONDS:
                calls = [
                    answered(client, path, {"status": "active"}),
                    answered(client, "/status", [{"store_id": other, "status": "active"}]),
                    answered(client, f"/stores/{other}/timezone", {"timezone": "UTC"}, "PUT"),
                    answered(client, path, {"status": "nonsense"}),
                    answered(client, f"/stores/{store}", None, "GET"),
                ]
                statuses.update(await asyncio.gather(*calls))
            assert statuses == {503}
            under_way = gateway.ingestion._publisher.budget.used
            assert 0 < under_way < 100_000, "once it is known to be away, nothing more is taken"

            await broker.start()
            await until(202, client, path, {"status": "inactive"})
            await until(202, client, "/status", [{"store_id": other, "status": "active"}])
            await until(202, client, f"/stores/{other}/timezone", {"timezone": "Asia/Gaza"}, "PUT")
            await until(200, client, f"/stores/{other}", None, "GET")
            async with client.get(f"/stores/{other}") as response:
                assert (await response.json())["timezone"] == "Asia/Gaza"
            assert await answered(client, f"/trigger_report/{store}", None) == 202
            while gateway.ingestion._publisher.budget.used:  # noqa: ASYNC110  other tasks
                await asyncio.sleep(0.05)
            polls = await polls_of(settings, store)
            assert {active for _, active in polls} == {0, 1}

            await broker.stop()
            assert await answered(client, path, {"status": "active"}) == 503
        # and it stops, although what is under way cannot be sent
    finally:
        await broker.stop()
