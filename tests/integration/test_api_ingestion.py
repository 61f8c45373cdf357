"""Polls, hours and timezones that are sent over HTTP reach a real broker."""

from __future__ import annotations

import asyncio
import json
import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp.test_utils import TestServer

from api.app import create_app
from api.gateway import Gateway
from api.ingest.service import POLL_BYTES
from api.ingest.status_body import SLICE_ITEMS
from producers.record_sink import RecordSink
from stream_app.contracts.business_hours import decode_hours, encode_hours
from stream_app.contracts.partitioning import partition_of
from stream_app.contracts.polls import MAX_POLLS_PER_RECORD
from stream_app.contracts.topics import STORE_BUSINESS_HOURS, STORE_STATUS
from stream_app.domain.timestamps import HOUR, format_instant
from tests.fakes import now
from tests.http_client import TestClient
from tests.integration.topic_records import read_dead_letters, read_polls, read_records
from tests.integration.worker_process import running_worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from stream_app.settings import Settings

pytestmark = pytest.mark.kafka

NOON = "2024-03-10T12:00:00Z"
NOON_US = 1_710_072_000_000_000


@asynccontextmanager
async def api_client(
    settings: Settings, clock: Any = now, **options: Any
) -> AsyncIterator[TestClient]:
    """Start an API, wait until it has connected to the broker, and make a client of it."""
    gateway = Gateway(settings, clock, **options)
    async with TestClient(TestServer(create_app(gateway))) as client:
        while gateway._connection.unavailable_reason is not None:  # noqa: ASYNC110  another task connects
            await asyncio.sleep(0.02)
        yield client


def a_store() -> str:
    return str(uuid.uuid4())


async def test_after_202_the_record_is_in_the_topic_where_its_store_belongs(
    kafka_settings: Settings,
) -> None:
    store = a_store()
    async with api_client(kafka_settings) as client:
        for status in ("active", "inactive"):
            body = {"status": status, "timestamp_utc": NOON}
            response = await client.post(f"/stores/{store}/status", json=body)
            assert response.status == 202
            assert (await read_polls(kafka_settings, store))[-1] == (NOON_US, status == "active")
    records = [r for r in await read_records(kafka_settings, STORE_STATUS) if store in str(r.value)]
    assert {r.key for r in records} == {store.encode()}
    right = partition_of(store.encode(), kafka_settings.partitions)
    assert {r.partition for r in records} == {right}


@pytest.mark.parametrize("form", ["array", "lines"])
async def test_a_rejected_item_is_a_dead_letter_and_the_others_are_accepted(
    kafka_settings: Settings, form: str
) -> None:
    one, other = a_store(), a_store()
    marker = a_store()
    items = [
        {"store_id": one, "status": "active", "timestamp_utc": NOON},
        {"store_id": marker, "status": "up"},
        {"store_id": other, "status": "inactive", "timestamp_utc": NOON},
        {"store_id": marker, "status": "active", "timestamp_utc": format_instant(now() + HOUR)},
    ]
    lines = [json.dumps(item) for item in items]
    data = "\n".join(lines) if form == "lines" else f"[{','.join(lines)}]"
    async with api_client(kafka_settings) as client:
        response = await client.post("/status", data=data)
        assert response.status == 202
        answer = await response.json()
    assert (answer["accepted"], answer["refused"]) == (2, 2)
    assert [item["index"] for item in answer["items"]] == [1, 3]
    assert await read_polls(kafka_settings, one) == [(NOON_US, True)]
    assert await read_polls(kafka_settings, other) == [(NOON_US, False)]
    assert await read_polls(kafka_settings, marker) == []
    dead_letters = [
        dead_letter
        for dead_letter in await read_dead_letters(kafka_settings, "/status")
        if marker.encode() in (dead_letter.original or b"")
    ]
    assert [(dead_letter.source["item"], dead_letter.reason) for dead_letter in dead_letters] == [
        (item["index"], item["reason"]) for item in answer["items"]
    ]
    assert [json.loads(dead_letter.original or b"") for dead_letter in dead_letters] == [
        items[1],
        items[3],
    ]


async def test_polls_of_a_store_in_one_body_are_few_records(kafka_settings: Settings) -> None:
    store = a_store()
    count = 2 * MAX_POLLS_PER_RECORD + 5
    items = [
        {"store_id": store, "status": "active", "timestamp_utc": format_instant(NOON_US + n)}
        for n in range(count)
    ]
    async with api_client(kafka_settings) as client:
        response = await client.post("/status", json=items)
        assert (await response.json())["accepted"] == count
    records = [r for r in await read_records(kafka_settings, STORE_STATUS) if store in str(r.value)]
    # the polls of one store in one slice of a body are at most one record, also on a slow machine
    assert len(records) <= count // SLICE_ITEMS + 1
    assert sorted(await read_polls(kafka_settings, store)) == [
        (NOON_US + n, True) for n in range(count)
    ]


async def test_hours_and_timezones_are_read_by_every_api_process(kafka_settings: Settings) -> None:
    store = a_store()
    async with api_client(kafka_settings) as one, api_client(kafka_settings) as other:
        for number in range(10):
            rows = [[number % 7, "09:00", "17:00"]]
            response = await one.put(f"/stores/{store}/business_hours", json={"hours": rows})
            assert response.status == 202
            answer = await (await other.get(f"/stores/{store}")).json()
            assert answer["business_hours"] == rows
        await other.put(f"/stores/{store}/timezone", json={"timezone_str": "Asia/Gaza"})
        answer = await (await one.get(f"/stores/{store}")).json()
    assert (answer["timezone_str"], answer["business_hours"]) == ("Asia/Gaza", rows)
    async with api_client(kafka_settings) as restarted:
        assert await (await restarted.get(f"/stores/{store}")).json() == answer


async def test_hours_on_a_wrong_partition_do_not_count_before_they_are_forwarded(
    kafka_settings: Settings,
) -> None:
    store = a_store()
    async with api_client(kafka_settings) as client, RecordSink(kafka_settings) as sink:
        await client.put(f"/stores/{store}/business_hours", json={"hours": [[1, "1:00", "2:00"]]})
        keys = (a_store().encode() for _ in range(10_000))
        right = partition_of(store.encode(), kafka_settings.partitions)
        wrong = next(k for k in keys if partition_of(k, kafka_settings.partitions) != right)
        await sink.send(STORE_BUSINESS_HOURS, wrong, encode_hours(store, [(2, "1:00", "2:00")]))
        await sink.drain()
        answer = await (await client.get(f"/stores/{store}")).json()
    assert answer["business_hours"] == [[1, "1:00", "2:00"]]
    records = await read_records(kafka_settings, STORE_BUSINESS_HOURS)
    assert sum(decode_hours(r.value).store_id == store for r in records if r.value) == 2


async def test_a_poll_ahead_of_the_brokers_clock_is_rejected_though_ours_is_fast(
    kafka_settings: Settings,
) -> None:
    store = a_store()
    async with api_client(kafka_settings, lambda: now() + HOUR) as client:
        response = await client.post(f"/stores/{store}/status", json={"status": "active"})
        assert response.status == 422
        assert "lies ahead of the clock" in (await response.json(content_type=None))["detail"]
        items = [{"store_id": store, "status": "active", "timestamp_utc": NOON}]
        items.append({"store_id": store, "status": "active"})
        answer = await (await client.post("/status", json=items)).json()
    assert (answer["accepted"], answer["refused"]) == (1, 1)
    assert answer["items"][0]["index"] == 1


async def test_overload_answers_429_and_ends(kafka_settings: Settings) -> None:
    stores = [a_store() for _ in range(300)]
    async with api_client(kafka_settings, unacknowledged=20 * POLL_BYTES) as client:

        async def send_poll(store: str) -> int:
            body = {"status": "active", "timestamp_utc": NOON}
            async with client.post(f"/stores/{store}/status", json=body) as response:
                if response.status == 429:
                    assert response.headers["Retry-After"] == "1"
                return response.status

        statuses = await asyncio.gather(*map(send_poll, stores))
        assert set(statuses) == {202, 429}
        assert await send_poll(stores[0]) == 202
    accepted = {s for s, status in zip(stores, statuses, strict=True) if status == 202}
    written = {
        json.loads(r.value)["store_id"] for r in await read_records(kafka_settings, STORE_STATUS)
    }
    assert accepted <= written


async def test_a_store_of_which_only_a_poll_is_known_is_found_and_listed_at_once(
    kafka_settings: Settings, tmp_path: Path
) -> None:
    settings = kafka_settings.replace(data_dir=tmp_path)
    async with running_worker(settings), api_client(settings) as client:
        while (await client.get("/readyz")).status != 200:  # noqa: ASYNC110  over HTTP
            await asyncio.sleep(0.1)
        for _ in range(20):
            store = a_store()
            await client.post(f"/stores/{store}/status", json={"status": "active"})
            answer = await (await client.get("/stores", params={"prefix": store[:13]})).json()
            assert answer["store_ids"] == [store]
            store = a_store()
            await client.post(f"/stores/{store}/status", json={"status": "active"})
            assert (await client.get(f"/stores/{store}")).status == 200
