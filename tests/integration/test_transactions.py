"""Polls of a client that uses Kafka transactions, with markers and aborted records among them."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import TYPE_CHECKING

import orjson
import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from stream_app.contracts.partitioning import partition_of
from stream_app.contracts.topics import APP_ID, REPORT_REQUESTS, STORE_STATUS
from stream_app.domain.timestamps import HOUR, SECOND, format_instant
from stream_app.kafka.clients import connection
from stream_app.kafka.offset_gaps import OffsetGap, OffsetGaps
from tests.integration.gateways import running_gateway, wait_until_finished
from tests.integration.worker_process import running_worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from stream_app.settings import Settings

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

TRANSACTIONS = 200


@pytest.fixture
async def client(kafka_settings: Settings) -> AsyncIterator[AIOKafkaProducer]:
    async with AIOKafkaProducer(
        **connection(kafka_settings), transactional_id=str(uuid.uuid4())
    ) as producer:
        yield producer


def poll(store_id: str, instant: int, status: str) -> bytes:
    return orjson.dumps(
        {"store_id": store_id, "status": status, "timestamp_utc": format_instant(instant)}
    )


async def test_reports_and_commits_pass_the_markers_of_transactions(
    kafka_settings: Settings, client: AIOKafkaProducer, tmp_path: Path
) -> None:
    """The end offset includes markers, which a reader must skip; Faust commits once a second."""
    settings = kafka_settings.replace(data_dir=tmp_path, report_deadline=60 * SECOND)
    store_id, now = str(uuid.uuid4()), time.time_ns() // 1000
    partition = partition_of(store_id.encode(), settings.partitions)

    async def send(topic: str, value: bytes) -> int:
        sent = await client.send_and_wait(topic, value, store_id.encode(), partition=partition)
        return int(sent.offset)

    for number in range(TRANSACTIONS):
        async with client.transaction():
            last = await send(STORE_STATUS.name, poll(store_id, now - 2 * HOUR - number, "active"))
    await client.begin_transaction()
    await send(STORE_STATUS.name, poll(store_id, now - HOUR, "inactive"))
    await client.abort_transaction()
    # the aborted record and two markers come after the last record that counts
    end = last + 4
    report_id = str(uuid.uuid4())
    request = {"report_id": report_id, "store_id": store_id, "reference_time": format_instant(now)}

    async with running_gateway(settings) as api, running_worker(settings) as worker:
        async with client.transaction():
            await send(REPORT_REQUESTS.name, orjson.dumps(request))
        while await api.report_service.report(report_id) is None:  # noqa: ASYNC110  the API reads it on its own
            await asyncio.sleep(0.05)
        state = await wait_until_finished(api, report_id)
        assert state.status == "complete", state.reason
        assert state.document is not None
        assert state.document.fields["polls_counted"] == TRANSACTIONS
        assert state.document.fields["uptime_last_hour"] == 60
        code = await worker.stop()
    assert code == 0
    assert await committed_offset(settings, partition) == last + 1
    polls = TopicPartition(STORE_STATUS.name, partition)
    gaps = OffsetGaps(settings)
    await gaps.start()
    try:
        empty = await gaps.inspect({polls: (last + 1, end)})
        assert empty == {polls: OffsetGap(lost_end=last + 1, next_offset=end)}
        with_record = await gaps.inspect({polls: (last - 1, end)})
        assert with_record == {polls: OffsetGap(lost_end=last - 1, next_offset=last)}
    finally:
        await gaps.stop()


async def committed_offset(settings: Settings, partition: int) -> int:
    topic_partition = TopicPartition(STORE_STATUS.name, partition)
    admin = AIOKafkaAdminClient(**connection(settings))
    await admin.start()
    try:
        return int((await admin.list_consumer_group_offsets(APP_ID))[topic_partition].offset)
    finally:
        await admin.close()
