"""The product reads every codec on every topic, and skips batches that it cannot unpack."""

from __future__ import annotations

import asyncio
import time
import uuid
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson
import pytest
from aiokafka import AIOKafkaProducer

from stream_app.contracts.dead_letters import decode_dead_letter
from stream_app.contracts.partitioning import partition_of
from stream_app.contracts.topics import (
    DEAD_LETTERS,
    LATEST_POLLS,
    QUERY_RESULTS,
    REPORT_REQUESTS,
    REPORT_RESULTS,
    STORE_BUSINESS_HOURS,
    STORE_QUERIES,
    STORE_STATUS,
    STORE_TIMEZONES,
    STORES,
    WATERMARKS,
)
from stream_app.domain.timestamps import HOUR, SECOND, format_instant
from stream_app.kafka.clients import connection
from tests.integration.gateways import running_gateway, wait_until_finished
from tests.integration.raw_produce import send_raw
from tests.integration.topic_records import read_records
from tests.integration.worker_process import running_worker
from tests.kafka_batches import bomb

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from api.gateway import Gateway
    from stream_app.contracts.dead_letters import DeadLetter
    from stream_app.contracts.topics import TopicSpec
    from stream_app.settings import Settings

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(150)]

CODECS: Final = ("gzip", "snappy", "lz4", "zstd")
CONSUMED: Final = (
    STORE_STATUS,
    STORE_BUSINESS_HOURS,
    STORE_TIMEZONES,
    REPORT_REQUESTS,
    STORE_QUERIES,
)
FOLLOWED: Final = (STORES, REPORT_RESULTS, QUERY_RESULTS, LATEST_POLLS, WATERMARKS)
MOST_MEGABYTES: Final = 150 + 2 * 64
"""The most memory that a worker may use: an idle one uses 75 MB, and two of its threads unpack."""


class Client:
    """A client of Kafka that compresses its records."""

    def __init__(self, settings: Settings, codec: str | None) -> None:
        self._settings = settings
        self._producer = AIOKafkaProducer(
            **connection(settings), acks="all", compression_type=codec
        )

    async def send(self, spec: TopicSpec, store_id: str, **fields: Any) -> None:
        """Send one record of a store to the store's partition."""
        partition = partition_of(store_id.encode(), self._settings.partitions)
        value = orjson.dumps({"store_id": store_id, **fields})
        await self._producer.send_and_wait(spec.name, value, store_id.encode(), partition)

    async def report(self, gateway: Gateway, store_id: str, now: int) -> dict[str, Any]:
        """Request the report of a store through Kafka, and return its fields."""
        report_id = str(uuid.uuid4())
        await self.send(
            REPORT_REQUESTS, store_id, report_id=report_id, reference_time=format_instant(now)
        )
        while await gateway.report_service.report(report_id) is None:  # noqa: ASYNC110  the gateway reads it in a task of its own
            await asyncio.sleep(0.05)
        state = await wait_until_finished(gateway, report_id)
        assert state.status == "complete", state.reason
        assert state.document is not None
        return state.document.fields


@asynccontextmanager
async def client_of(settings: Settings, codec: str | None = None) -> AsyncIterator[Client]:
    client = Client(settings, codec)
    await client._producer.start()
    try:
        yield client
    finally:
        await client._producer.stop()


async def read_unreadable(settings: Settings) -> list[DeadLetter]:
    """Read the dead letters of batches that cannot be unpacked."""
    dead_letters = [
        decode_dead_letter(record.value) for record in await read_records(settings, DEAD_LETTERS)
    ]
    return [dead_letter for dead_letter in dead_letters if "last_offset" in dead_letter.source]


async def test_every_codec_is_read(kafka_settings: Settings, tmp_path: Path) -> None:
    settings = kafka_settings.replace(data_dir=tmp_path, report_deadline=60 * SECOND)
    now = time.time_ns() // 1000 // HOUR * HOUR
    async with running_worker(settings), running_gateway(settings) as gateway:
        for codec in CODECS:
            store_id, other = str(uuid.uuid4()), str(uuid.uuid4())
            async with client_of(settings, codec) as client:
                await client.send(STORE_TIMEZONES, store_id, timezone_str="Asia/Tokyo")
                always = [(day, "00:00", "24:00") for day in range(7)]
                await client.send(STORE_BUSINESS_HOURS, store_id, hours=always)
                await client.send(
                    STORE_STATUS,
                    store_id,
                    status="active",
                    timestamp_utc=format_instant(now - HOUR),
                )
                content = await client.report(gateway, store_id, now)
                await client.send(STORES, other)
            assert content["timezone"] == "Asia/Tokyo", codec
            assert content["business_hours"] is not None, codec
            assert content["uptime_last_hour"] == 60, codec
            assert await gateway.store_service.store_exists(other), codec


async def test_a_batch_that_unpacks_to_too_much_is_one_dead_letter_and_costs_no_memory(
    kafka_settings: Settings, tmp_path: Path
) -> None:
    """The broker accepts the batch, since it unpacks in a stream; no reader can unpack it."""
    settings = kafka_settings.replace(data_dir=tmp_path, report_deadline=60 * SECOND)
    store_id, now = str(uuid.uuid4()), time.time_ns() // 1000
    partition = partition_of(store_id.encode(), settings.partitions)
    packed = bomb(200)
    expected = {}
    before = len(await read_unreadable(settings))
    async with running_worker(settings) as worker, running_gateway(settings) as gateway:
        for spec in CONSUMED:
            offset = await send_raw(settings, spec.name, partition, packed)
            expected[spec.name] = (partition, offset, offset)
        for spec in FOLLOWED:
            await send_raw(settings, spec.name, 0, packed)
        async with client_of(settings) as client:
            await client.send(
                STORE_STATUS, store_id, status="active", timestamp_utc=format_instant(now - HOUR)
            )
            content = await client.report(gateway, store_id, now)
        assert content["uptime_last_hour"] == 60
        assert await gateway.store_service.store_exists(store_id)
        assert await gateway.readiness.unavailable_reason() is None
        peak = peak_megabytes(worker._process.pid)
        assert peak < MOST_MEGABYTES, f"{peak} MB"
        assert await worker.stop() == 0
    dead_letters = (await read_unreadable(settings))[before:]
    offsets = {
        dead_letter.source["topic"]: (
            dead_letter.source["partition"],
            dead_letter.source["offset"],
            dead_letter.source["last_offset"],
        )
        for dead_letter in dead_letters
    }
    assert offsets == expected
    assert len(dead_letters) == len(expected), "each once"
    for dead_letter in dead_letters:
        assert dead_letter.reason == "unpacks to more than 64 MB"
        assert (dead_letter.original, dead_letter.key) == (None, None)

    # a worker does not read committed offsets again, and a view skips the batches once more
    async with (
        running_worker(settings),
        running_gateway(settings) as gateway,
        client_of(settings) as client,
    ):
        assert (await client.report(gateway, store_id, now))["uptime_last_hour"] == 60
    assert len(await read_unreadable(settings)) == before + len(expected)


def peak_megabytes(pid: int) -> int:
    """Return the peak of a process's resident memory in megabytes."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        pytest.skip("this system has no /proc")
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return int(lines["VmHWM"].split()[0]) >> 10
