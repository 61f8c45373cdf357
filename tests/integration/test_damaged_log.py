"""A changed byte in the broker's log: the broker serves the batch, and readers see the damage."""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from stream_app.contracts.dead_letters import decode_dead_letter
from stream_app.contracts.partitioning import partition_of
from stream_app.contracts.stores import StoreRecord, encode_store, encode_timezone
from stream_app.contracts.topics import DEAD_LETTERS, STORE_TIMEZONES, STORES
from stream_app.kafka.admin import ensure_topics
from stream_app.kafka.bootstrap import resolve_bootstrap
from stream_app.kafka.clients import producer
from stream_app.local.kafka.java_cluster import JavaKafkaCluster
from stream_app.settings import Settings
from tests.integration.gateways import running_gateway
from tests.integration.topic_records import read_records
from tests.integration.worker_process import running_worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from stream_app.contracts.topics import TopicSpec

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(150)]

STORE = str(uuid.uuid4())
CHECKSUM = "the checksum of the batch is wrong"


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[JavaKafkaCluster]:
    settings = Settings.from_environment(os.environ, data_dir=tmp_path)
    local = JavaKafkaCluster(settings.data_dir, settings.cache_dir)
    yield local
    await local.stop()


async def send(settings: Settings, spec: TopicSpec, *values: bytes) -> None:
    """Send each value in a batch of its own to the partition of the store."""
    client = producer(settings)
    await client.start()
    try:
        for value in values:
            partition = partition_of(STORE.encode(), settings.partitions)
            await client.send_and_wait(spec.name, value, STORE.encode(), partition)
    finally:
        await client.stop()


def change(folder: Path, before: bytes, after: bytes) -> None:
    """Replace bytes in the only segment that has them."""
    changed = 0
    for segment in folder.glob("**/*.log"):
        data = segment.read_bytes()
        if before in data:
            segment.write_bytes(data.replace(before, after))
            changed += 1
    assert changed == 1


async def test_a_changed_byte_costs_its_batch_and_no_other(
    broker: JavaKafkaCluster, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    started = await broker.start()
    settings = resolve_bootstrap(
        Settings.from_environment(os.environ, data_dir=tmp_path, kafka_bootstrap=started.bootstrap)
    ).replace(
        data_dir=tmp_path / "worker",
    )
    await ensure_topics(settings)
    stores = [str(uuid.uuid4()) for _ in range(3)]
    await send(settings, STORES, *(encode_store(StoreRecord(store)) for store in stores))
    zones = ("Asia/Tokyo", "Europe/Rome", "Asia/Seoul")
    await send(settings, STORE_TIMEZONES, *(encode_timezone(STORE, zone) for zone in zones))
    await broker.stop()
    change(tmp_path / "kafka", stores[1].encode(), uuid.uuid4().bytes.hex().encode() + b"----")
    change(tmp_path / "kafka", b"Europe/Rome", b"Europe/Oslo")
    started = await broker.start()
    settings = settings.replace(kafka_bootstrap=started.bootstrap)

    async with running_gateway(settings) as gateway:
        assert await gateway.store_service.store_exists(stores[0])
        assert await gateway.store_service.store_exists(stores[2])
        partition = partition_of(STORE.encode(), settings.partitions)
        for topic in ("stores", "store-timezones"):
            line = f"{topic}/{partition}: offsets 1 to 1 cannot be read: {CHECKSUM}"
            assert caplog.messages.count(line) == 1
        async with running_worker(settings):
            store = await gateway.store_service.get(STORE)
            assert store is not None
            assert store.timezone == "Asia/Seoul"
            records: list[Any] = []
            while not records:
                records = await read_records(settings, DEAD_LETTERS)
    (dead_letter,) = map(decode_dead_letter, (record.value for record in records))
    assert dead_letter.reason == CHECKSUM
    assert dead_letter.source == {
        "topic": "store-timezones",
        "partition": partition,
        "offset": 1,
        "last_offset": 1,
    }
