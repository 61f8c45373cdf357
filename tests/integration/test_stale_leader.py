"""End offsets are not those of a broker that was frozen while another one became the leader."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from stream_app.kafka.bootstrap import resolve_bootstrap
from stream_app.kafka.clients import connection, producer
from stream_app.kafka.offsets import EndOffsetFetcher
from stream_app.local.kafka.java_cluster import JavaKafkaCluster
from stream_app.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.kafka

TOPIC = "polls"
PARTITIONS = 12


@pytest.fixture
async def brokers(tmp_path: Path) -> AsyncIterator[JavaKafkaCluster]:
    settings = Settings.from_environment(os.environ, data_dir=tmp_path)
    local = JavaKafkaCluster(settings.data_dir, settings.cache_dir, nodes=3)
    await local.start()
    yield local
    await asyncio.gather(*(node.kill() for node in local.nodes))


async def create(settings: Settings) -> None:
    admin = AIOKafkaAdminClient(**connection(settings))
    await admin.start()
    try:
        configs = {"min.insync.replicas": "2"}
        await admin.create_topics([NewTopic(TOPIC, PARTITIONS, 3, topic_configs=configs)])
    finally:
        await admin.close()


async def write_one_each(settings: Settings) -> None:
    """Write one record to every partition, and wait until all are acknowledged."""
    client = producer(settings)
    await client.start()
    try:
        for partition in range(PARTITIONS):
            await client.send_and_wait(TOPIC, b"poll", partition=partition)
    finally:
        await client.stop()


async def test_records_acknowledged_while_the_leader_was_frozen_are_below_the_end_offset(
    brokers: JavaKafkaCluster, tmp_path: Path
) -> None:
    settings = resolve_bootstrap(Settings.from_environment(os.environ, data_dir=tmp_path))
    await create(settings)
    await write_one_each(settings)
    partitions = [TopicPartition(TOPIC, partition) for partition in range(PARTITIONS)]
    ends = EndOffsetFetcher(settings)
    await ends.start()
    try:
        assert await ends.fetch(partitions) == dict.fromkeys(partitions, 1)
        _, *others = settings.kafka_bootstrap.split(",")
        frozen = brokers.node(1)
        frozen.pause()
        try:
            # the other brokers lead all partitions now, and acknowledge without the frozen one
            await write_one_each(settings.replace(kafka_bootstrap=",".join(others)))
            fetching = asyncio.create_task(ends.fetch(partitions))
            # the request to the frozen broker waits in the socket
            await asyncio.sleep(0.05)
        finally:
            frozen.resume()
        assert await fetching == dict.fromkeys(partitions, 2)
    finally:
        await ends.stop()
