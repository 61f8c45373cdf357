"""Every view that is requested after a 202 of `POST /stores/{store_id}/status` has the poll."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from stream_app.domain.timestamps import HOUR, SECOND, format_instant, parse_instant
from tests.fakes import now
from tests.integration.test_api_ingestion import api_client
from tests.integration.worker_process import running_worker

if TYPE_CHECKING:
    from pathlib import Path

    from stream_app.settings import Settings
    from tests.http_client import TestClient

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

TIMES = 100


async def send_poll(client: TestClient, store: str, status: str, instant: int) -> None:
    body = {"status": status, "timestamp_utc": format_instant(instant)}
    response = await client.post(f"/stores/{store}/status", json=body)
    assert response.status == 202, await response.text()


async def wait_until_ready(client: TestClient) -> None:
    """Wait until workers own all partitions: before that the API answers 503."""
    while (await client.get("/readyz")).status != 200:  # noqa: ASYNC110  another process starts
        await asyncio.sleep(0.05)


async def view_of(client: TestClient, path: str) -> Any:
    response = await client.get(path)
    assert response.status == 200, await response.text()
    return await response.json()


async def test_the_summary_and_the_data_of_the_store_page_cover_the_poll(
    kafka_settings: Settings, tmp_path: Path
) -> None:
    settings = kafka_settings.replace(data_dir=tmp_path)
    first = now() - HOUR
    old = str(uuid.uuid4())
    async with api_client(settings) as client, running_worker(settings, "worker-1"):
        await wait_until_ready(client)
        for number in range(TIMES):
            # a store that has polls, and a new one
            store = old if number % 2 else str(uuid.uuid4())
            instant, status = first + number * SECOND, "active" if number % 4 < 2 else "inactive"
            await send_poll(client, store, status, instant)

            summary = await view_of(client, f"/stores/{store}/summary")

            assert summary["last_poll"] == {
                "status": status,
                "timestamp_utc": format_instant(instant),
            }
            assert summary["state"] == ("up" if status == "active" else "down")
            assert parse_instant(summary["now"]) >= parse_instant(summary["reference_time"])
            assert parse_instant(summary["reference_time"]) >= instant
            for view in ("timeline", "incidents"):
                content = await view_of(client, f"/stores/{store}/{view}")
                assert parse_instant(content["end"]) >= instant
            assert (await view_of(client, f"/stores/{store}"))["store_id"] == store


async def test_a_badge_covers_the_poll(kafka_settings: Settings, tmp_path: Path) -> None:
    settings = kafka_settings.replace(data_dir=tmp_path, reference_clock="wall")
    async with api_client(settings) as client, running_worker(settings, "worker-1"):
        await wait_until_ready(client)
        for _ in range(TIMES):
            store = str(uuid.uuid4())
            await send_poll(client, store, "active", now() - HOUR)
            response = await client.get(f"/badges/{store}.svg", params={"window": "hour"})
            assert response.status == 200
            first = await response.text()
            await asyncio.gather(
                *(
                    send_poll(client, store, "inactive", now() - number * SECOND)
                    for number in (60, 1)
                )
            )
            second = await (await client.get(f"/badges/{store}.svg?window=hour")).text()
            assert "uptime hour: 100%" in first
            assert "uptime hour: 9" in second, "up until a minute ago"
