"""Measures a report of all stores over HTTP, from the request to the last row."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import aiohttp

from benchmarks.errors import BenchmarkError
from benchmarks.fleet_report import fleet_report
from benchmarks.inputs import STORES
from benchmarks.line import Figure, Line, cpu_figures
from benchmarks.processes import CpuMeter, resident_megabytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.bench import Bench

_LIMIT: Final = 180.0


async def measure(bench: Bench) -> Mapping[str, float]:
    """Measure one fleet report; the first run also measures the first report of the deployment."""
    product = await bench.loaded_deployment()
    bench.say("a report of all stores")
    figures: dict[str, float] = {}
    async with aiohttp.ClientSession(product.address) as session:
        if bench.run == 0:
            first = product.while_running(_timed(session), _LIMIT, "fleet report")
            figures["first"], _ = await first
        cpu = CpuMeter(product.pids())
        seconds, text = await product.while_running(_timed(session), _LIMIT, "fleet report")
    rows = text.count("\n") - 1
    if rows < STORES:
        raise BenchmarkError(f"the fleet report has {rows:,} rows, not {STORES:,}")
    return figures | {
        "complete": seconds,
        "rows": rows,
        "per_store": 1000 * seconds / rows,
        **{
            f"{name}_peak": resident_megabytes(pid)[1]
            for name, pid in product.pids("worker", "api").items()
        },
        **cpu.figures(),
    }


async def _timed(session: aiohttp.ClientSession) -> tuple[float, str]:
    begin = time.perf_counter()
    text = await fleet_report(session)
    return time.perf_counter() - begin, text


LINE: Final = Line(
    name="fleet",
    title="one report of all 4,559 stores, over HTTP",
    figures=(
        Figure("complete", "from the request to the last row", "s", target_max=0.15),
        Figure("first", "- the first after the replay", "s", target_max=0.3),
        Figure("rows", "rows", ""),
        Figure("per_store", "a store", "ms"),
        *cpu_figures("worker", "api", "broker"),
        Figure("worker_peak", "memory of the worker, the most", "MB", target_max=300),
        Figure("api_peak", "memory of the API, the most", "MB"),
    ),
    measure=measure,
    shares_state=True,
)
