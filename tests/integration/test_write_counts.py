"""The number of changelog records for a backlog shows a slow path, as times would not."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

import pytest

from producers.record_sink import RecordSink
from stream_app.contracts.polls import encode_poll, encode_poll_batch
from stream_app.contracts.topics import FACTS_TABLE, STORE_STATUS, changelog
from stream_app.domain.timestamps import HOUR, MINUTE, WEEK
from stream_app.kafka.applied_offsets import AppliedOffsets
from stream_app.kafka.offsets import EndOffsetFetcher
from stream_app.worker.facts.keys import PARTITION_KEYS
from tests.integration.topic_records import read_records
from tests.integration.worker_process import running_worker

if TYPE_CHECKING:
    from pathlib import Path

    from stream_app.settings import Settings

pytestmark = pytest.mark.kafka


async def facts_written(settings: Settings) -> int:
    """Return the number of changelog records with facts of stores, without those of partitions."""
    records = await read_records(settings, changelog(FACTS_TABLE))
    return sum(record.key not in PARTITION_KEYS for record in records)


async def writes_of_a_worker(settings: Settings, tmp_path: Path) -> int:
    """Let a new worker apply the topics, and return the number of changelog records it writes."""
    settings = settings.replace(data_dir=tmp_path)
    end_offset_fetcher = EndOffsetFetcher(settings)
    await end_offset_fetcher.start()
    progress = AppliedOffsets(settings, end_offset_fetcher, time.monotonic)
    await progress.start()
    try:
        before = await facts_written(settings)
        async with running_worker(settings) as worker:
            await progress.catch_up()
            # the worker sends its records in flight before it ends
            assert await worker.stop() == 0
        return await facts_written(settings) - before
    finally:
        await progress.stop()
        await end_offset_fetcher.stop()


async def test_a_backlog_of_single_polls_costs_fewer_writes_than_polls(
    kafka_settings: Settings, tmp_path: Path
) -> None:
    await writes_of_a_worker(kafka_settings, tmp_path)  # the records of other tests
    now = time.time_ns() // 1000
    stores = [str(uuid.uuid4()) for _ in range(50)]
    async with RecordSink(kafka_settings) as sink:
        for minute in range(60):
            for store in stores:
                value = encode_poll(store, now - HOUR + minute * MINUTE, active=minute % 9 > 0)
                await sink.send(STORE_STATUS, store.encode(), value)

    written = await writes_of_a_worker(kafka_settings, tmp_path)

    # one write or more for each store: its polls may come in several fetches
    assert len(stores) <= written < 60 * len(stores) / 3


async def test_a_batch_costs_one_write_for_each_week_that_it_touches(
    kafka_settings: Settings, tmp_path: Path
) -> None:
    await writes_of_a_worker(kafka_settings, tmp_path)  # the records of other tests
    start = time.time_ns() // 1000 // WEEK * WEEK - 3 * WEEK
    stores = [str(uuid.uuid4()) for _ in range(40)]
    async with RecordSink(kafka_settings) as sink:
        for store in stores:
            polls = [(start + hour * HOUR, True) for hour in range(17 * 24)]
            value = encode_poll_batch(store, polls)
            await sink.send(STORE_STATUS, store.encode(), value)

    assert await writes_of_a_worker(kafka_settings, tmp_path) == 3 * len(stores)
