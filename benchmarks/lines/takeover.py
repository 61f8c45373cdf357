"""Measures how long partitions have no owner when one of two workers is killed or stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import TYPE_CHECKING, Final

import aiohttp

from benchmarks.errors import BenchmarkError
from benchmarks.fleet_report import fleet_report
from benchmarks.line import Figure, Line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.bench import Bench
    from benchmarks.deployment import Deployment
    from stream_app.local.processes.child import ChildProcess

ALL_OWNED: Final = r"own partitions 0, 1, 2, 3, 4, 5, 6, 7"
_HALF_OWNED: Final = r"own partitions (\d, ){3}\d$"
_SUPERVISOR_SECONDS: Final = 1.0
"""The pause after which `store-uptime up` starts a process again that has ended."""

_SETTLE_SECONDS: Final = 3.0
_LIMIT: Final = 60.0


async def measure(bench: Bench) -> Mapping[str, float]:
    """Measure three take-overs on one deployment with all polls in its state."""
    inputs = bench.inputs()
    async with bench.deployment(standby=1) as product:
        bench.say(f"replaying {inputs.polls:,} polls")
        await product.run("replay", *inputs.arguments)
        await _report(product)
        second = product.another_worker("worker-2")
        try:
            await _join(product, second)
            bench.say("kill -9 of one of two workers, started again")
            begin = time.perf_counter()
            await _kill(second)
            back = asyncio.create_task(_start_again(second))
            restarted = await _report(product) - begin
            await back
            await asyncio.sleep(_SETTLE_SECONDS)
            bench.say("kill -9 of one of two workers, gone for good")
            begin = time.perf_counter()
            await _kill(second)
            gone = await _report(product) - begin
            await _join(product, second)
            bench.say("one of two workers stopped beside a warm standby")
            since = product.log_bytes()
            begin = time.perf_counter()
            stopping = asyncio.create_task(second.stop())
            owned = await product.wait_for_log_line(ALL_OWNED, since=since) - begin
            await stopping
        finally:
            await second.stop()
    return {"restarted": restarted, "gone": gone, "stopped": owned}


async def _join(product: Deployment, worker: ChildProcess) -> None:
    since = product.log_bytes()
    await worker.start()
    await product.wait_for_log_line(_HALF_OWNED, since=since)
    # each worker reads the standby of the other partitions meanwhile
    await asyncio.sleep(_SETTLE_SECONDS)


async def _kill(worker: ChildProcess) -> None:
    if worker.pid is None:
        raise BenchmarkError(f"{worker.name} does not run")
    os.kill(worker.pid, signal.SIGKILL)
    await worker.wait()


async def _start_again(worker: ChildProcess) -> None:
    await asyncio.sleep(_SUPERVISOR_SECONDS)
    await worker.start()


async def _report(product: Deployment) -> float:
    """Request a report of all stores; return the time of its completion (`perf_counter`)."""
    async with asyncio.timeout(_LIMIT), aiohttp.ClientSession(product.address) as session:
        await fleet_report(session)
    return time.perf_counter()


LINE: Final = Line(
    name="takeover",
    title="a second worker goes, 1.9 M polls in state",
    figures=(
        Figure("restarted", "kill -9, started again: until reports answer", "s", target_max=4),
        Figure("gone", "kill -9, gone for good: until reports answer", "s", target_max=12),
        Figure("stopped", "stopped beside a warm standby: until all is owned", "s", target_max=2),
    ),
    measure=measure,
)
