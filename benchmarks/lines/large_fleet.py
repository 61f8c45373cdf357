"""Measures a report of 100,000 made-up stores over HTTP, with two workers."""

from __future__ import annotations

import csv
import gzip
import time
from collections import defaultdict
from contextlib import AsyncExitStack
from random import Random
from statistics import median
from typing import TYPE_CHECKING, Final
from uuid import UUID

import aiohttp

from benchmarks.errors import BenchmarkError
from benchmarks.fleet_report import fleet_report
from benchmarks.inputs import DATA, END, SEED
from benchmarks.line import Figure, Line
from benchmarks.processes import cpu_seconds, resident_megabytes
from benchmarks.watermarks import Watermarks
from producers.record_sink import RecordSink
from stream_app.contracts.business_hours import encode_hours
from stream_app.contracts.polls import encode_poll_batch
from stream_app.contracts.stores import encode_timezone
from stream_app.contracts.topics import STORE_BUSINESS_HOURS, STORE_STATUS, STORE_TIMEZONES
from stream_app.domain.timestamps import HOUR, from_datetime

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from benchmarks.bench import Bench
    from stream_app.contracts.topics import TopicSpec
    from stream_app.settings import Settings

STORES: Final = 100_000
POLLS: Final = 170
"""Hourly polls of a store: those of a report's week and of its lookback."""

WARM_REPORTS: Final = 3
_HALF_OWNED: Final = r"own partitions (\d, ){3}\d$"
_FILL_SECONDS: Final = 300.0
_LIMIT: Final = 120.0

Record = tuple["TopicSpec", bytes, bytes]


async def measure(bench: Bench) -> Mapping[str, float]:
    """Measure the first report after all polls are applied, then `WARM_REPORTS` more."""
    async with AsyncExitStack() as ends:
        product = await ends.enter_async_context(bench.deployment())
        second = product.another_worker("worker-2")
        ends.push_async_callback(second.stop)
        since = product.log_bytes()
        await second.start()
        await product.wait_for_log_line(_HALF_OWNED, since=since)
        watermarks = await ends.enter_async_context(Watermarks(product.settings))
        bench.say(f"sending {STORES * POLLS:,} polls of {STORES:,} stores")
        await product.while_running(_send(product.settings), _FILL_SECONDS, "all polls sent")
        await product.while_running(watermarks.caught_up(), _FILL_SECONDS, "all polls visible")
        pids = [product.pids("worker")["worker"], *([second.pid] if second.pid else [])]
        session = await ends.enter_async_context(aiohttp.ClientSession(product.address))
        bench.say(f"reports of {STORES:,} stores")
        before = sum(map(cpu_seconds, pids))
        seconds = [
            await product.while_running(_timed(session), _LIMIT, "the report")
            for _ in range(1 + WARM_REPORTS)
        ]
        return {
            "first": seconds[0],
            "warm": median(seconds[1:]),
            "rows": STORES,
            "cpu_workers": (sum(map(cpu_seconds, pids)) - before) / len(seconds),
            "worker_peak": max(resident_megabytes(pid)[1] for pid in pids),
            "api_peak": resident_megabytes(product.pids("api")["api"])[1],
        }


async def _timed(session: aiohttp.ClientSession) -> float:
    begin = time.perf_counter()
    text = await fleet_report(session)
    seconds = time.perf_counter() - begin
    rows = text.count("\n") - 1
    if rows != STORES:
        raise BenchmarkError(f"the report has {rows:,} rows, not {STORES:,}")
    return seconds


async def _send(settings: Settings) -> None:
    async with RecordSink(settings) as sink:
        for spec, key, value in records_of_stores(STORES):
            await sink.send(spec, key, value)


def records_of_stores(count: int) -> Iterator[Record]:
    """Yield hours, timezone and a week of hourly polls of each store, the same on every machine.

    Every store gets the hours and the timezone of a published one.
    """
    hours: defaultdict[str, list[tuple[int, str, str]]] = defaultdict(list)
    with gzip.open(DATA / "menu_hours.csv.gz", "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            times = row["start_time_local"], row["end_time_local"]
            hours[row["store_id"]].append((int(row["dayOfWeek"]), *times))
    with gzip.open(DATA / "timezones.csv.gz", "rt", encoding="utf-8", newline="") as file:
        models = [(row["store_id"], row["timezone_str"]) for row in csv.DictReader(file)]
    chance = Random(SEED)  # noqa: S311  sample data, no secret
    end = from_datetime(END)
    for number in range(count):
        store_id = str(UUID(int=chance.getrandbits(128), version=4))
        key = store_id.encode()
        model, timezone = models[number % len(models)]
        if model in hours:
            yield STORE_BUSINESS_HOURS, key, encode_hours(store_id, hours[model])
        yield STORE_TIMEZONES, key, encode_timezone(store_id, timezone)
        first = end - POLLS * HOUR + chance.randrange(HOUR)
        polls = [(first + hour * HOUR, chance.random() < 0.9) for hour in range(POLLS)]
        yield STORE_STATUS, key, encode_poll_batch(store_id, polls)


LINE: Final = Line(
    name="large-fleet",
    title=f"one report of {STORES:,} made-up stores over HTTP, two workers",
    figures=(
        Figure("first", "the first, from the request to the last row", "s"),
        Figure("warm", "a further one, half of them within", "s", target_max=2.5),
        Figure("rows", "rows", ""),
        Figure("cpu_workers", "CPU of both workers, a report", "s"),
        Figure("worker_peak", "memory of a worker, the most", "MB"),
        Figure("api_peak", "memory of the API, the most", "MB"),
    ),
    measure=measure,
    max_runs=2,
)
