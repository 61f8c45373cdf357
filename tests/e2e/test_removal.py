"""A store is removed from the running product, and stays removed after a restore of the tables."""

from __future__ import annotations

import asyncio
import os
import shutil
import uuid
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiokafka import AIOKafkaProducer

from stream_app.contracts.partitioning import partition_of
from stream_app.contracts.polls import encode_poll
from stream_app.contracts.removal import encode_removal
from stream_app.kafka.bootstrap import resolve_bootstrap
from stream_app.kafka.clients import connection
from stream_app.settings import Settings
from tests.e2e.product import run, up

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(280)]

NOON = 1_710_072_000_000_000
STORES = [str(uuid.UUID(int=n, version=4)) for n in range(1, 9)]
GONE, ANEW, FORGOTTEN, BY_KAFKA, HOURLESS, *KEPT = STORES


class Api:
    """A client of the API."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        async with self._session.request(method, path, json=body) as response:
            json = "json" in response.content_type
            return response.status, await (response.json() if json else response.text())

    async def send_facts(self, store: str) -> None:
        for method, resource, body in (
            ("POST", "status", {"status": "active", "timestamp_utc": "2024-03-10T11:00:00Z"}),
            ("PUT", "business_hours", {"hours": [[6, "01:00", "23:00"]]}),
            ("PUT", "timezone", {"timezone_str": "Europe/Berlin"}),
        ):
            status, answer = await self.call(method, f"/stores/{store}/{resource}", body)
            assert status == 202, answer

    async def fleet_report(self) -> dict[str, dict[str, Any]]:
        body = {"reference_time": "2024-03-10T12:00:00Z"}
        status, accepted = await self.call("POST", "/trigger_report", body)
        assert status == 202, accepted
        status = 202
        while status == 202:
            await asyncio.sleep(0.05)
            path = f"/get_report/{accepted['report_id']}"
            headers = {"Accept": "application/json"}
            async with self._session.get(path, headers=headers) as response:
                status, content = response.status, await response.json()
        assert status == 200, content
        return {row["store_id"]: row for row in content["reports"]}

    async def assert_removed(self, store: str) -> None:
        for method, path in (
            ("GET", f"/stores/{store}"),
            ("DELETE", f"/stores/{store}"),
            ("GET", f"/stores/{store}/summary"),
            ("GET", f"/badges/{store}.svg"),
            ("POST", f"/trigger_report/{store}"),
        ):
            status, answer = await self.call(method, path)
            assert status == 404, (method, path, answer)
        _, fleet = await self.call("GET", f"/fleet?q={store}")
        assert fleet["stores"] == []


async def test_removed_stores_are_unknown_and_stay_so(tmp_path: Path) -> None:
    data = tmp_path / "data"
    running, address = up(data, "--workers", "2", environment={"STORE_UPTIME_PARTITIONS": "4"})
    with running:
        settings = resolve_bootstrap(
            Settings.from_environment(os.environ, data_dir=data, partitions=4)
        )
        async with aiohttp.ClientSession(address) as session:
            api = Api(session)
            for store in STORES:
                await api.send_facts(store)
            assert (await api.fleet_report()).keys() == set(STORES)

            for store in (GONE, ANEW):
                status, answer = await api.call("DELETE", f"/stores/{store}")
                assert (status, answer) == (202, {"store_id": store, "removed": True})
                await api.assert_removed(store)
            forgotten = await asyncio.to_thread(
                run, "forget", FORGOTTEN, GONE, "--data-dir", str(data)
            )
            assert (forgotten.returncode, forgotten.stdout) == (
                1,
                f"store {FORGOTTEN} is removed\n",
            )
            await api.assert_removed(FORGOTTEN)
            await remove_by_kafka(settings)
            # read your writes: there is no wait before the report
            reports = await api.fleet_report()
            assert reports.keys() == {HOURLESS, *KEPT}
            await api.assert_removed(BY_KAFKA)
            status, hourless = await api.call("GET", f"/stores/{HOURLESS}")
            assert (status, hourless["business_hours"], hourless["timezone"]) == (
                200,
                None,
                "Europe/Berlin",
            )
            assert reports[HOURLESS]["uptime_last_day"] > reports[KEPT[0]]["uptime_last_day"] / 2

            body = {"status": "inactive", "timestamp_utc": "2024-03-10T11:59:00Z"}
            assert (await api.call("POST", f"/stores/{ANEW}/status", body))[0] == 202
            before = await api.fleet_report()
            assert before.keys() == {ANEW, HOURLESS, *KEPT}
            assert before[ANEW]["polls_counted"] == 1
            assert before[ANEW]["timezone"] == "America/Chicago"
            _, listed = await api.call("GET", "/stores")
            assert listed["store_ids"] == sorted(before)
    assert running.process.returncode == 0

    # the workers restore their tables from the changelog, and the API its views from the topics
    workers = data / "workers"
    assert workers.is_dir()
    shutil.rmtree(workers)
    running, address = up(data, "--workers", "2", environment={"STORE_UPTIME_PARTITIONS": "4"})
    with running:
        async with aiohttp.ClientSession(address) as session:
            api = Api(session)
            assert await api.fleet_report() == before
            for store in (GONE, FORGOTTEN, BY_KAFKA):
                await api.assert_removed(store)
            _, listed = await api.call("GET", "/stores")
            assert listed["store_ids"] == sorted(before)


async def remove_by_kafka(settings: Settings) -> None:
    """Send removals and records without a value to Kafka, also to a wrong partition."""
    key = BY_KAFKA.encode()
    wrong = (partition_of(key, settings.partitions) + 1) % settings.partitions
    async with AIOKafkaProducer(**connection(settings)) as producer:
        await producer.send_and_wait("store-business-hours", None, key=key, partition=wrong)
        await producer.send_and_wait("store-timezones", None, key=key)
        late = encode_poll(BY_KAFKA, NOON - 1, active=True)
        await producer.send_and_wait("store-status", late, key=key, partition=wrong)
        removal = encode_removal(BY_KAFKA)
        await producer.send_and_wait("store-status", removal, key=key, partition=wrong)
        await producer.send_and_wait("store-business-hours", None, key=HOURLESS.encode())
