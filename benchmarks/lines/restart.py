"""Measures a worker that restarts with all polls in its state, with its disk and without it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from benchmarks.line import Figure, Line
from benchmarks.processes import CpuMeter, resident_megabytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.bench import Bench
    from benchmarks.deployment import Deployment

ASSIGNED: Final = r"assigned "
OWNED: Final = r"own partitions \d"


async def measure(bench: Bench) -> Mapping[str, float]:
    """Measure one restart of each kind."""
    product = await bench.loaded_deployment()
    bench.say("a restart with its disk")
    warm = await _restart(product, lost_disk=False)
    bench.say("a restart with an empty disk")
    empty = await _restart(product, lost_disk=True)
    return {
        **{f"warm_{name}": value for name, value in warm.items()},
        **{f"empty_{name}": value for name, value in empty.items()},
    }


async def _restart(product: Deployment, *, lost_disk: bool) -> dict[str, float]:
    await product.worker.stop()
    if lost_disk:
        product.remove_state()
    log_start = product.log_bytes()
    begin = time.perf_counter()
    await product.worker.start()
    cpu = CpuMeter(product.pids("worker", "broker"))
    assigned = await product.wait_for_log_line(ASSIGNED, since=log_start)
    await product.wait_for_log_line(OWNED, since=log_start)
    ready = await product.wait_until_ready()
    return {
        "ready": ready - assigned,
        "start": ready - begin,
        "memory": resident_megabytes(product.pids()["worker"])[0],
        **cpu.figures(),
    }


LINE: Final = Line(
    name="restart",
    title="worker restart with 1.9 M polls in state",
    figures=(
        Figure("warm_ready", "its disk kept: from the assignment to ready", "s", target_max=0.4),
        Figure("warm_start", "- from the start of the process", "s"),
        Figure("warm_memory", "- memory, its disk kept", "MB", target_max=300),
        Figure("empty_ready", "an empty disk: from the assignment to ready", "s", target_max=1.2),
        Figure("empty_start", "- from the start of the process", "s"),
        Figure("empty_memory", "- memory, an empty disk", "MB", target_max=300),
    ),
    measure=measure,
    shares_state=True,
)
