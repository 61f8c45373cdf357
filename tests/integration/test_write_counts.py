"""What a backlog costs in changelog records: a slow path shows in counts, not in seconds."""

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
from tests.integration.topic_records import records_of
from tests.integration.worker_process import running_worker

if TYPE_CHECKING:
    from pathlib import Path

    from stream_app.settings import Settings

pytestmark = pytest.mark.kafka


async def facts_written(settings: Settings) -> int:
    """Changelog records that hold facts of stores; the others tell of partitions themselves."""
    records = await records_of(settings, changelog(FACTS_TABLE))
    return sum(record.key not in PARTITION_KEYS for record in records)


async def applied(settings: Settings, tmp_path: Path) -> int:
    """Changelog records that a new worker writes for what waits in the topics."""
    settings = settings.replace(data_dir=tmp_path)
    end_offset_fetcher = EndOffsetFetcher(settings)
    await end_offset_fetcher.start()
    progress = AppliedOffsets(settings, end_offset_fetcher, time.monotonic)
    await progress.start()
    try:
        before = await facts_written(settings)
        async with running_worker(settings) as worker:
            await progress.catch_up()
            # it sends what it has in hand before it ends
            assert await worker.stop() == 0
        return await facts_written(settings) - before
    finally:
        await progress.stop()
        await end_offset_fetcher.stop()


async def test_a_backlog_of_single_polls_costs_fewer_writes_than_polls(
    kafka_settings: Settings, tmp_path: Path
) -> None:
    await applied(kafka_settings, tmp_path)  # what other tests have left
    now = time.time_ns() // 1000
    stores = [str(uuid.uuid4()) for _ in range(50)]
    async with RecordSink(kafka_settings) as sink:
        for minute in range(60):
            for store in stores:
                value = encode_poll(store, now - HOUR + minute * MINUTE, active=minute % 9 > 0)
                await sink.send(STORE_STATUS, store.encode(), value)

    written = await applied(kafka_settings, tmp_path)

    # each store at least once; several fetches may part its polls
    assert len(stores) <= written < 60 * len(stores) / 3


async def test_a_batch_costs_a_write_a_week_that_it_touches(
    kafka_settings: Settings, tmp_path: Path
) -> None:
    await applied(kafka_settings, tmp_path)  # what other tests have left
    start = time.time_ns() // 1000 // WEEK * WEEK - 3 * WEEK
    stores = [str(uuid.uuid4()) for _ in range(40)]
    async with RecordSink(kafka_settings) as sink:
        for store in stores:
            polls = [(start + hour * HOUR, True) for hour in range(17 * 24)]
            value = encode_poll_batch(store, polls)
            await sink.send(STORE_STATUS, store.encode(), value)

    assert await applied(kafka_settings, tmp_path) == 3 * len(stores)
