"""Measures the time and the memory of the fleet and of a report of all stores with many stores.

    python -m benchmarks.many_stores --stores 1000000

It is no line of the table, because it takes long. It shows whether time and memory are bounded.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import aiohttp
import click

from benchmarks.deployment import Deployment, deployment
from benchmarks.disk import topic_bytes
from benchmarks.errors import BenchmarkError
from benchmarks.processes import MEGABYTE, cpu_seconds, resident_megabytes
from producers.record_sink import RecordSink
from stream_app.clock import wall_clock
from stream_app.contracts.polls import encode_poll_batch
from stream_app.contracts.topics import REPORT_RESULTS, STORE_STATUS
from stream_app.domain.timestamps import HOUR, SECOND

_DEADLINE_SECONDS = 3600
_POLL_SECONDS = 0.5


@click.command()
@click.option("--stores", default=1_000_000, show_default=True, type=click.IntRange(min=1))
def main(stores: int) -> None:
    """Send a poll of each store, then request the fleet and a report of all stores."""
    asyncio.run(_measure(stores))


async def _measure(stores: int) -> None:
    folder = Path(tempfile.mkdtemp()) / "deployment"
    async with deployment(
        folder, report_deadline=_DEADLINE_SECONDS * SECOND, max_stores=2 * stores
    ) as product:
        begin = time.perf_counter()
        await _send(product, stores)
        _say(f"{stores:,} stores are sent", begin, product)
        async with aiohttp.ClientSession(
            product.address, timeout=aiohttp.ClientTimeout(total=_DEADLINE_SECONDS)
        ) as session:
            begin = time.perf_counter()
            await _wait_for_stores(session, stores)
            _say("the fleet counts them", begin, product)
            for query in ("", f"?page={stores // 100}", "?sort=id&q=abc", "?sort=last_poll"):
                begin = time.perf_counter()
                async with session.get(f"/fleet{query}") as response:
                    matching = (await response.json())["matching"]
                _say(f"GET /fleet{query}: {matching:,} match", begin, product)
            begin = time.perf_counter()
            slowest: list[float] = []
            health_checks = asyncio.create_task(_time_health_checks(session, slowest))
            rows = await _report(session)
            _say(f"a report of {rows:,} rows", begin, product)
            health_checks.cancel()
            with suppress(asyncio.CancelledError):
                await health_checks
            size = topic_bytes(product.broker_folder, REPORT_RESULTS.name) / MEGABYTE
            click.echo(f"its rows in Kafka: {size:.0f} MB; slowest /healthz: {max(slowest):.3f} s")
        if rows != stores:
            raise BenchmarkError(f"the report has {rows:,} rows, not {stores:,}")


def _say(what: str, begin: float, product: Deployment) -> None:
    memory = ", ".join(
        f"{name} {resident_megabytes(pid)[1]:.0f} MB at most, {cpu_seconds(pid):.0f} s of CPU"
        for name, pid in product.pids().items()
    )
    click.echo(f"{what}: {time.perf_counter() - begin:.2f} s ({memory})")


async def _send(product: Deployment, stores: int) -> None:
    now = wall_clock()
    async with RecordSink(product.settings) as sink:
        for number in range(stores):
            store_id = str(UUID(int=number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % (1 << 128)))
            polls = [(now - number % 24 * HOUR, number % 3 > 0)]
            await sink.send(STORE_STATUS, store_id.encode(), encode_poll_batch(store_id, polls))


async def _wait_for_stores(session: aiohttp.ClientSession, stores: int) -> None:
    while True:
        async with session.get("/fleet?limit=1") as response:
            if response.status == 200:
                counts = (await response.json())["counts"]
                if counts["total"] == stores:
                    return
        await asyncio.sleep(_POLL_SECONDS)


async def _report(session: aiohttp.ClientSession) -> int:
    """Request a report of all stores, and count its rows while they are read."""
    async with session.post("/trigger_report") as response:
        report_id = (await response.json())["report_id"]
    while True:
        async with session.get(f"/get_report/{report_id}") as response:
            if response.status == 200:
                rows = -1
                async for chunk in response.content.iter_any():
                    rows += chunk.count(b"\n")
                return rows
            if response.status != 202:
                raise BenchmarkError(f"{response.status}: {await response.text()}")
        await asyncio.sleep(_POLL_SECONDS)


async def _time_health_checks(session: aiohttp.ClientSession, seconds: list[float]) -> None:
    """Request `/healthz` again and again, and append the seconds of each answer."""
    while True:
        begin = time.perf_counter()
        async with session.get("/healthz"):
            seconds.append(time.perf_counter() - begin)
        await asyncio.sleep(0.05)


if __name__ == "__main__":
    main()
