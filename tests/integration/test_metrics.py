"""Prometheus scrapes the metrics of a running product, and the watchman checks a real table."""

from __future__ import annotations

import asyncio
import math
import re
import uuid
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from api.app import create_app
from api.gateway import Gateway
from producers.record_sink import RecordSink
from stream_app.contracts.partitioning import partition_of
from stream_app.contracts.polls import encode_poll_batch
from stream_app.contracts.topics import STORE_STATUS
from stream_app.domain.timestamps import HOUR, MINUTE, SECOND
from stream_app.local.run_file import ADDRESS_FILE
from stream_app.worker.facts.databases import FactsDatabases
from stream_app.worker.facts.keys import bucket_of
from tests.fakes import now
from tests.faults.deployment import deployment
from tests.integration.worker_process import running_worker
from tests.unit.test_metrics_page import rows

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from stream_app.settings import Settings

pytestmark = pytest.mark.kafka

CHECKS = 'store_uptime_watchman_checks_total{outcome="%s"}'
SAMPLE = re.compile(r"^(\S+(?:\{.*\})?) (\S+)$", re.MULTILINE)
TYPE = re.compile(r"^# TYPE (store_uptime_\S+) \S+$", re.MULTILINE)


def names_on_the_page(process: str) -> set[str]:
    return {row.split("`")[1] for row in rows(process)}


class Product:
    """A client of a worker's own HTTP server, and of the API."""

    def __init__(self, session: aiohttp.ClientSession, folder: Path) -> None:
        self._session = session
        self._file = folder / ADDRESS_FILE

    async def get_of_worker(self, path: str) -> tuple[int, str]:
        while not self._file.exists():  # noqa: ASYNC110  another process writes it
            await asyncio.sleep(0.05)
        return await self.get(self._file.read_text() + path)

    async def get(self, url: str) -> tuple[int, str]:
        async with self._session.get(url) as response:
            return response.status, await response.text()

    async def samples(self) -> dict[str, float]:
        _, text = await self.get_of_worker("/metrics")
        return {name: float(value) for name, value in SAMPLE.findall(text)}

    async def wait_until_ready(self) -> None:
        while (await self.get_of_worker("/readyz"))[0] != 200:  # noqa: ASYNC110  over HTTP
            await asyncio.sleep(0.05)

    async def wait_for(self, name: str, least: float, most: float = math.inf) -> dict[str, float]:
        """Scrape the worker until a metric is between two numbers."""
        while not least <= (samples := await self.samples()).get(name, math.nan) <= most:  # noqa: ASYNC110  over HTTP
            await asyncio.sleep(0.1)
        return samples


async def send_polls(settings: Settings, *stores: str) -> None:
    async with RecordSink(settings) as sink:
        for store in stores:
            polls = [(now() - hour * HOUR - MINUTE, hour % 3 > 0) for hour in range(100)]
            await sink.send(STORE_STATUS, store.encode(), encode_poll_batch(store, polls))


async def test_a_running_product_shows_the_metrics_that_the_page_lists(
    kafka_settings: Settings, tmp_path: Path
) -> None:
    settings = kafka_settings.replace(data_dir=tmp_path, watchman=0)
    await send_polls(settings, str(uuid.uuid4()))
    server = TestServer(create_app(Gateway(settings, now)))
    await server.start_server()
    folder = tmp_path / "workers" / "worker-1"
    try:
        async with running_worker(settings) as worker, aiohttp.ClientSession() as session:
            product = Product(session, folder)
            assert (await product.get_of_worker("/healthz"))[0] == 200
            await product.wait_until_ready()
            status, text = await product.get_of_worker("/metrics")
            assert status == 200
            assert set(TYPE.findall(text)) == names_on_the_page("worker")
            samples = await product.wait_for(
                "store_uptime_source_lag_records" + labels_of("store-status"), 0, 0
            )
            assert samples["store_uptime_source_lag_seconds" + labels_of("store-status")] == 0
            assert samples["store_uptime_owned_partitions"] == settings.partitions
            assert samples["store_uptime_partition_restore_seconds_count"] >= settings.partitions
            await product.wait_for("store_uptime_unowned_partitions", 0, 0)

            status, text = await product.get(str(server.make_url("/metrics")))
            assert status == 200
            assert set(TYPE.findall(text)) == names_on_the_page("api")
            assert await worker.stop() == 0
            assert not (folder / ADDRESS_FILE).exists()
    finally:
        await server.close()


def labels_of(topic: str, partition: int = 0) -> str:
    return f'{{partition="{partition}",topic="{topic}"}}'


@pytest.mark.timeout(300)
async def test_the_watchman_agrees_until_a_table_is_changed_behind_the_workers_back(
    tmp_path: Path,
) -> None:
    # on a broker of its own: the watchman would read the records of other tests as well
    async with (
        deployment(tmp_path, workers=1, watchman=SECOND // 10) as product,
        aiohttp.ClientSession() as session,
    ):
        settings, worker = product.settings, product.workers["worker-1"]
        stores = [str(uuid.uuid4()) for _ in range(20)]
        await send_polls(settings, *stores)
        folder = product.worker_folder("worker-1")
        client = Product(session, folder)
        samples = await client.wait_for(CHECKS % "agrees", 5)
        assert samples[CHECKS % "differs"] == 0
        assert await worker.stop() == 0
        assert worker.logged(" ERROR ") == []

        await remove_polls(folder, {partition_of(s.encode(), settings.partitions) for s in stores})

        await worker.start()
        samples = await client.wait_for(CHECKS % "differs", 1)
        assert samples["store_uptime_owned_partitions"] == settings.partitions
        line = worker.logged("the watchman finds")[0]
    assert " ERROR " in line
    assert re.search(r"(up|down)time_last_\w+ is \S+ in the report and \S+ recomputed", line), line
    assert "store-status below offset " in line


async def remove_polls(folder: Path, partitions: Iterable[int]) -> None:
    """Leave one poll in each bucket of the partitions' databases; checkpoints do not change."""
    databases = FactsDatabases(folder, lambda _: None)
    for partition in partitions:
        database = databases.of(partition)
        polls: list[tuple[bytes, Any]] = [
            (key, value[:8]) for key, value in database.facts() if bucket_of(key) is not None
        ]
        assert polls
        database.write(polls, database.checkpoint)
    await databases.stop()
