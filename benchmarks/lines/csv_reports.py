"""Compares the way from CSV files to the report of all stores with tools that read files."""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import aiohttp

from benchmarks.csv_figures import read_figures, require_equal
from benchmarks.errors import BenchmarkError
from benchmarks.fleet_report import fleet_report
from benchmarks.inputs import ROOT
from benchmarks.line import Figure, Line
from benchmarks.measured_run import run_measured
from benchmarks.processes import CpuMeter, resident_megabytes, written_bytes
from benchmarks.rotation import rotated

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from benchmarks.bench import Bench
    from benchmarks.csv_figures import StoreFigures
    from benchmarks.inputs import Inputs

OURS: Final = "ours"
TOOLS: Final = {"duckdb": "DuckDB, one SQL script", "polars": "polars, one script"}
WAYS: Final = {OURS: "store-uptime: replay, then one report of all stores", **TOOLS}
MILLION: Final = 1_000_000

_LIMIT: Final = 180.0


@dataclass(frozen=True, slots=True)
class MeasuredWay:
    """The costs of one system from the files to the last row, and its report.

    Attributes:
        seconds: from the start of the command to the last row.
        cpu: CPU seconds of all processes that took part.
        peak_megabytes: the largest resident memory, all processes together.
        written_bytes: bytes that they wrote to the disk.
        figures: the report of all stores.
    """

    seconds: float
    cpu: float
    peak_megabytes: float
    written_bytes: float
    figures: StoreFigures


async def measure(bench: Bench) -> Mapping[str, float]:
    """Measure every system once; the figures of all stores must be equal in all of them."""
    inputs = bench.inputs()
    ways = {}
    for way in rotated(list(WAYS), bench.run):
        bench.say(WAYS[way])
        try:
            if way == OURS:
                ways[way] = await _product(bench, inputs)
            else:
                ways[way] = await run_tool(way, inputs, bench.workspace)
        except BenchmarkError as error:
            # the failure of one way does not end the others
            bench.add_problem(f"{WAYS[way]}: {error}")
    files = (inputs.status, inputs.hours, inputs.zones)
    return compare(bench, ways, inputs.polls) | {
        "input_bytes": float(sum(file.stat().st_size for file in files))
    }


def compare(bench: Bench, ways: Mapping[str, MeasuredWay], polls: int) -> dict[str, float]:
    """Return the figures of the systems whose reports equal ours."""
    figures: dict[str, float] = {"polls": polls}
    ours = ways.get(OURS)
    if ours is None:
        return figures
    exact = {OURS: ours}
    for way in ways.keys() & TOOLS.keys():
        try:
            figures["checked_stores"] = require_equal(ways[way].figures, ours.figures)
        except BenchmarkError as error:
            bench.add_problem(f"{WAYS[way]}: {error}")
        else:
            exact[way] = ways[way]
    for way, measured in exact.items():
        figures |= {
            f"{way}_seconds": measured.seconds,
            f"{way}_cpu_per_million": measured.cpu / polls * MILLION,
            f"{way}_peak": measured.peak_megabytes,
            f"{way}_written_per_poll": measured.written_bytes / polls,
        }
    tools = [exact[way].seconds for way in TOOLS if way in exact]
    if tools:
        figures["ours_to_best"] = ours.seconds / min(tools)
    return figures


async def _product(bench: Bench, inputs: Inputs) -> MeasuredWay:
    async with bench.deployment() as product:
        pids = product.pids()
        cpu = CpuMeter(pids)
        written = sum(map(written_bytes, pids.values()))
        ended = await product.run("replay", *inputs.arguments)
        async with aiohttp.ClientSession(product.address) as session:
            # the report includes all acknowledged polls, so there is no wait before it
            text = await product.while_running(fleet_report(session), _LIMIT, "fleet report")
        seconds = time.perf_counter() - ended.started
        return MeasuredWay(
            seconds,
            ended.cpu + sum(cpu.figures()[f"cpu_{name}"] for name in pids),
            ended.peak_megabytes + sum(resident_megabytes(pid)[1] for pid in pids.values()),
            ended.written_bytes + sum(map(written_bytes, pids.values())) - written,
            read_figures(text),
        )


async def run_tool(name: str, inputs: Inputs, folder: Path) -> MeasuredWay:
    """Run a tool's script as a separate program, and measure it with its start.

    Raises:
        BenchmarkError: it failed, or wrote no report.
    """
    script = ROOT / "benchmarks" / "peers" / name / "report.py"
    output = folder / f"{name}.csv"
    output.unlink(missing_ok=True)
    files = map(str, (inputs.status, inputs.hours, inputs.zones, output))
    # -P: the peer's folder has the name of the package that it imports
    usage = await asyncio.to_thread(run_measured, [sys.executable, "-P", str(script), *files])
    if not output.exists():
        raise BenchmarkError(f"{name} wrote no report")
    figures = read_figures(output.read_text(encoding="utf-8"))
    return MeasuredWay(usage.seconds, usage.cpu, usage.peak_megabytes, usage.written_bytes, figures)


def _figures() -> Iterator[Figure]:
    for way, title in WAYS.items():
        yield Figure(f"{way}_seconds", title, "s", target_max=2 if way == OURS else None)
        yield Figure(f"{way}_cpu_per_million", "- CPU a million polls, all processes", "s")
        yield Figure(f"{way}_peak", "- memory, all processes, the most", "MB")
        yield Figure(f"{way}_written_per_poll", "- written to the disk", "bytes/poll")
    yield Figure("ours_to_best", "ours to the quickest tool", "times", target_max=2)
    yield Figure("checked_stores", "stores whose figures are equal in all ways", "")


LINE: Final = Line(
    name="csv-reports",
    title="1.9 M polls, hours and timezones as CSV to the report of all 4,559 stores",
    figures=tuple(_figures()),
    measure=measure,
)
