"""The benchmarks measure a small replay and a report of it on a deployment of their own."""

from __future__ import annotations

import asyncio
import os
import signal
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from benchmarks.bench import Bench
from benchmarks.errors import BenchmarkError
from benchmarks.http import KeepAlive
from benchmarks.inputs import make_inputs, store_ids
from benchmarks.lines import csv_reports
from benchmarks.lines.latency import report
from benchmarks.lines.replay import measure_replay
from benchmarks.lines.views import times
from benchmarks.processes import resident_megabytes

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.kafka


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def test_a_replay_is_measured_until_all_is_visible(tmp_path: Path) -> None:
    inputs = make_inputs(tmp_path / "inputs", stores=20, days=2)
    lines: list[str] = []
    figures = await measure_replay(Bench(tmp_path, lines.append), inputs)
    assert figures["command"] > 0
    assert figures["visible"] > 0
    assert figures["source_bytes_per_poll"] > 0
    assert figures["changelog_bytes_per_poll"] >= 8
    assert figures["worker_peak"] >= figures["worker_resident"] > 0
    assert figures["cpu_worker"] > 0
    assert lines[-1] == f"replaying {inputs.polls:,} polls of 20 stores"
    # the deployment has ended, and its files are removed
    assert await asyncio.to_thread(names_in, tmp_path) == ["inputs"]


async def test_a_worker_that_ends_is_named_and_a_report_is_timed(tmp_path: Path) -> None:
    bench = Bench(tmp_path, print)
    inputs = make_inputs(tmp_path / "inputs", stores=2, days=1)
    async with bench.deployment() as product:
        await product.run("replay", *inputs.arguments)
        connection = await KeepAlive.connect(product.settings.api_host, product.settings.api_port)
        assert await report(connection, store_ids(2)[0]) > 0
        shown = ["/fleet", f"/stores/{store_ids(2)[0]}/timeline"]
        assert all(seconds > 0 for seconds in await times(connection, shown))
        with pytest.raises(BenchmarkError, match="/stores/7/timeline: 422"):
            await times(connection, ["/stores/7/timeline"])
        assert resident_megabytes(product.pids()["broker"])[0] > 10
        with pytest.raises(BenchmarkError, match="replay ended with 2"):
            await product.run("replay", "--no-such-option")
        waiting = asyncio.create_task(product.wait_for_log_line("never said"))
        await asyncio.sleep(0)
        os.kill(product.pids()["worker"], signal.SIGKILL)
        with pytest.raises(BenchmarkError, match="worker ended"):
            await waiting


async def test_tools_that_read_files_give_the_products_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # `make bench` alone installs DuckDB
    tools = {name: title for name, title in csv_reports.TOOLS.items() if find_spec(name)}
    ways = {csv_reports.OURS: "ours", **tools}
    monkeypatch.setattr(csv_reports, "TOOLS", tools)
    monkeypatch.setattr(csv_reports, "WAYS", ways)
    inputs = make_inputs(tmp_path / "inputs", stores=40, days=9)
    bench = Bench(tmp_path, print)
    monkeypatch.setattr(bench, "inputs", lambda: inputs)
    figures = await csv_reports.measure(bench)
    assert bench.problems == []
    assert figures["checked_stores"] == 40
    for way in ways:
        assert figures[f"{way}_seconds"] > 0
        assert figures[f"{way}_cpu_per_million"] > 0
        assert figures[f"{way}_peak"] > 0
    assert figures["ours_written_per_poll"] > 0
    assert figures["input_bytes"] > inputs.polls
