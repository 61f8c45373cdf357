"""Runs lines one after the other and stores their results; always stops what it has started."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks.bench import Bench
from benchmarks.errors import BenchmarkError
from benchmarks.machine import describe_machine, load_average
from benchmarks.results import Result, write_result
from benchmarks.tables import number
from stream_app.errors import StoreUptimeError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from benchmarks.line import Line


async def run_lines(
    lines: Sequence[Line], *, runs: int, results: Path, say: Callable[[str], None]
) -> list[Result]:
    """Measure each line `runs` times, or `max_runs` times if that is less; store each result.

    A line that fails does not stop the others.
    """
    measured: list[Result] = []
    with TemporaryDirectory(prefix="store-uptime-bench-") as folder:
        bench = Bench(Path(folder), say)
        try:
            for line in lines:
                if not line.shares_state:
                    await bench.unload()
                result = await _measure(line, bench, min(runs, line.max_runs or runs))
                write_result(result, results)
                measured.append(result)
        finally:
            await bench.unload()
    return measured


async def _measure(line: Line, bench: Bench, runs: int) -> Result:
    figures_of_runs: list[dict[str, float]] = []
    say, bench.notes, bench.problems = bench.say, [], []
    try:
        for count in range(1, runs + 1):
            bench.say = partial(_say_of_run, say, f"{line.name} {count}/{runs}")
            bench.run = count - 1
            load = load_average()
            figures = dict(await line.measure(bench))
            bench.say(_shown(line, figures))
            figures_of_runs.append(figures | {"load_average_before": load})
    except (BenchmarkError, StoreUptimeError) as error:
        bench.add_problem(str(error))
        # the shared deployment may be the cause
        await bench.unload()
    finally:
        bench.say = say
    return Result(
        line=line.name,
        title=line.title,
        machine=describe_machine(),
        measured=datetime.now(UTC).isoformat(timespec="seconds"),
        runs=figures_of_runs,
        notes=bench.notes,
        problem="; ".join(bench.problems),
    )


def _say_of_run(say: Callable[[str], None], run: str, text: str) -> None:
    say(f"{run}: {text}")


def _shown(line: Line, figures: Mapping[str, float]) -> str:
    return ", ".join(
        f"{figure.title} {number(figures[figure.name])} {figure.unit}".rstrip()
        for figure in line.figures
        # a figure with a dash explains the one above it, in the table only
        if figure.name in figures and not figure.title.startswith("- ")
    )
