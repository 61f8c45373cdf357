"""Every record that the running product writes agrees with its AsyncAPI document."""

from __future__ import annotations

import asyncio
import base64
import os
import uuid
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson
import pytest
from aiokafka import AIOKafkaProducer

from stream_app.contracts.packed_polls import encode_packed_batch
from stream_app.contracts.polls import encode_poll
from stream_app.contracts.topic_records import RECORD_MODELS
from stream_app.contracts.topics import ALL_TOPICS
from stream_app.domain.polls import poll_set
from stream_app.domain.timestamps import HOUR, LATEST
from stream_app.kafka.bootstrap import resolve_bootstrap
from stream_app.kafka.clients import connection
from stream_app.settings import Settings
from tests.described_records import DescribedRecords
from tests.e2e.product import Http, run, up
from tests.integration.topic_records import read_records

if TYPE_CHECKING:
    from pathlib import Path

TOPICS = {topic.name: topic for topic in ALL_TOPICS}

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

NOON = 1_710_072_000_000_000  # 2024-03-10T12:00:00Z
STORES = [str(uuid.UUID(int=n)) for n in range(1, 6)]


def write_files(folder: Path) -> list[str]:
    """Write small files, each with a row that is rejected, and return the arguments of `replay`."""
    polls = [f"{store},active,2024-03-10 12:00:00.5 UTC" for store in STORES]
    hours = [f"{STORES[0]},0,09:00:00,17:00:00", f"{STORES[0]},6,22:00:00,02:00:00"]
    zones = [f"{STORES[1]},America/Denver"]
    arguments = []
    for kind, header, rows in (
        ("status", "store_id,status,timestamp_utc", polls),
        ("hours", "store_id,dayOfWeek,start_time_local,end_time_local", hours),
        ("zones", "store_id,timezone_str", zones),
    ):
        file = folder / f"{kind}.csv"
        file.write_text("\n".join([header, *rows, "nonsense,1,2,3"[: len(header)]]) + "\n")
        arguments += [f"--{kind}", str(file)]
    return arguments


async def write_every_record(address: str, settings: Settings) -> None:
    """Let the product write a record of every kind."""
    store = STORES[0]
    async with aiohttp.ClientSession(address) as session:
        for method, path, body in (
            ("POST", f"/stores/{store}/status", {"status": "inactive"}),
            ("POST", f"/stores/{store}/status", {"status": "open"}),
            ("POST", "/status", [{"store_id": store, "status": "active"}, {"store_id": "7"}]),
            ("PUT", f"/stores/{store}/business_hours", {"hours": [[1, "08:00", "24:00"]]}),
            ("PUT", f"/stores/{store}/timezone", {"timezone": "Mars/Base"}),
        ):
            async with session.request(method, path, json=body) as response:
                assert response.status in {202, 422}, await response.text()
    requests: list[dict[str, Any]] = [
        {"store_id": store},
        # the request of an unknown store fails
        {"store_id": str(uuid.uuid4())},
        {"scope": "fleet"},
        {"store_ids": STORES[:2]},
        {"store_id": store, "duration": "P2D", "daily": True},
    ]
    queries: list[dict[str, Any]] = [
        {"store_id": store, "details": ["windows", "timeline", "days", "incidents"]},
        {"scope": "fleet", "exact": True},
    ]
    records = [("report-requests", request) for request in requests]
    records += [("store-queries", query) for query in queries]
    ids = [str(uuid.uuid4()) for _ in records]
    async with AIOKafkaProducer(**connection(settings)) as producer:
        # single polls, the second one too far ahead of the clock, and a packed batch
        for value in (
            *(encode_poll(store, instant, active=True) for instant in (NOON, LATEST - 1)),
            encode_packed_batch(store, poll_set([(NOON - HOUR, False), (NOON, True)])),
        ):
            await producer.send_and_wait("store-status", value, key=store.encode())
        for report_id, (topic, request) in zip(ids, records, strict=True):
            value = orjson.dumps({"report_id": report_id, **request})
            await producer.send_and_wait(topic, value, key=report_id.encode())
    async with Http(address) as http:
        answers = await asyncio.gather(*(http.wait_until_finished(report_id) for report_id in ids))
        await http.wait_until_finished(
            await http.trigger(
                store,
                reference_time="2024-03-10T12:00:00Z",
                # no receiver listens there: the last try would be long after this test
                webhook={"url": "http://127.0.0.1:9/"},
            )
        )
    assert [status for status, _ in answers] == [200, 410, 200, 200, 200, 200, 200]
    async with (
        aiohttp.ClientSession(address) as session,
        session.delete(f"/stores/{STORES[-1]}") as response,
    ):
        assert response.status == 202, await response.text()


async def test_every_record_is_as_described(tmp_path: Path) -> None:
    running, address = up(
        tmp_path / "data",
        "--workers",
        "2",
        environment={
            "STORE_UPTIME_WEBHOOK_HOSTS": "http://127.0.0.1:9",
            "STORE_UPTIME_WEBHOOK_SECRET": "whsec_" + base64.b64encode(bytes(24)).decode(),
        },
    )
    with running:
        replayed = run("replay", *write_files(tmp_path), "--data-dir", str(tmp_path / "data"))
        assert "rejected" in replayed.stdout + replayed.stderr
        settings = resolve_bootstrap(
            Settings.from_environment(os.environ, data_dir=tmp_path / "data")
        )
        await write_every_record(address, settings)

        async with aiohttp.ClientSession(address) as session:
            document = await (await session.get("/asyncapi.json")).json()
        described = DescribedRecords(document)
        seen = {
            topic: {
                described.message(topic, record.value)
                for record in await read_records(settings, TOPICS[topic])
                # a record without a value deletes the earlier records of its key
                if record.value is not None
            }
            for topic, records in RECORD_MODELS.items()
            if records.values
        }

    assert all(seen.values())
    assert set().union(*seen.values()) == described.messages()
