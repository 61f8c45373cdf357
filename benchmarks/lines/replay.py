"""Measures a replay of CSV files until every poll is visible in reports, and the memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from benchmarks.bench import VISIBLE_SECONDS
from benchmarks.line import Figure, Line, cpu_figures
from benchmarks.processes import CpuMeter, resident_megabytes
from benchmarks.watermarks import Watermarks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.bench import Bench
    from benchmarks.inputs import Inputs


async def measure(bench: Bench) -> Mapping[str, float]:
    """Measure one replay into a new deployment."""
    return await measure_replay(bench, bench.inputs())


async def measure_replay(bench: Bench, inputs: Inputs) -> dict[str, float]:
    """Replay these files into a new deployment, and return its figures.

    The time includes the start of the command and of Python.
    """
    async with (
        bench.deployment() as product,
        Watermarks(product.settings) as watermarks,
    ):
        bench.say(f"replaying {inputs.polls:,} polls of {inputs.stores:,} stores")
        cpu = CpuMeter(product.pids("broker", "worker"))
        ended = await product.run("replay", *inputs.arguments)
        visible = await product.while_running(
            watermarks.caught_up(), VISIBLE_SECONDS, "all polls visible"
        )
        resident, peak = resident_megabytes(product.pids()["worker"])
        return {
            "visible": visible - ended.started,
            "command": ended.seconds,
            "worker_resident": resident,
            "worker_peak": peak,
            "replay_peak": ended.peak_megabytes,
            "polls_per_second": inputs.polls / (visible - ended.started),
            **{
                f"{name}_per_poll": size / inputs.polls
                for name, size in product.bytes_on_disk().items()
            },
            **cpu.figures(),
        }


LINE: Final = Line(
    name="replay",
    title="replay of 1.9 M polls of 4,559 stores, all hours and timezones",
    figures=(
        Figure("visible", "from the start until all is visible", "s", target_max=1.5),
        Figure("command", "the command alone", "s"),
        Figure("polls_per_second", "polls", "polls/s"),
        Figure("worker_resident", "memory of the worker afterwards", "MB", target_max=300),
        Figure("worker_peak", "the most it was", "MB"),
        Figure("replay_peak", "memory of the command, the most", "MB", target_max=250),
        *cpu_figures("worker", "broker"),
        Figure("source_bytes_per_poll", "disk: the polls' topic", "bytes/poll"),
        Figure("changelog_bytes_per_poll", "disk: the changelog", "bytes/poll"),
        Figure("state_bytes_per_poll", "disk: the worker's databases", "bytes/poll"),
    ),
    measure=measure,
)
