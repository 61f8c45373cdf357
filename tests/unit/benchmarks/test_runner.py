from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.errors import BenchmarkError
from benchmarks.line import Figure, Line
from benchmarks.results import read_result
from benchmarks.runner import run_lines

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from benchmarks.bench import Bench

FIGURES = (Figure("run", "number of the run", ""), Figure("aside", "- an aside", ""))


async def numbered(bench: Bench) -> Mapping[str, float]:
    bench.add_note("said in every run")
    return {"run": bench.run, "aside": 1}


async def fails_the_second_time(bench: Bench) -> Mapping[str, float]:
    if bench.run:
        raise BenchmarkError("no room")
    return {"run": 0}


async def fails_in_part(bench: Bench) -> Mapping[str, float]:
    bench.add_problem("a peer failed")
    return {"run": bench.run}


async def test_every_line_is_measured_and_stored_even_if_others_fail(
    tmp_path: Path,
) -> None:
    lines = [
        Line("second-fails", "", FIGURES, fails_the_second_time),
        Line("part-fails", "", FIGURES, fails_in_part),
        Line("well", "a title", FIGURES, numbered),
        Line("once", "", FIGURES, numbered, max_runs=1),
    ]
    printed: list[str] = []
    measured = await run_lines(lines, runs=2, results=tmp_path, say=printed.append)
    assert [result.values("run") for result in measured] == [[0], [0, 1], [0, 1], [0]]
    assert [result.problem for result in measured] == ["no room", "a peer failed", "", ""]
    assert measured[2].notes == ["said in every run"]
    assert measured[2].machine["python"]
    for line, result in zip(lines, measured, strict=True):
        stored = read_result(line.name, tmp_path)
        assert stored is not None
        assert (stored.values("run"), stored.problem) == (result.values("run"), result.problem)


async def test_each_figure_is_printed_with_its_line_and_run(tmp_path: Path) -> None:
    printed: list[str] = []
    lines = [Line("part-fails", "", FIGURES, fails_in_part), Line("well", "", FIGURES, numbered)]
    await run_lines(lines, runs=2, results=tmp_path, say=printed.append)
    assert printed == [
        "part-fails 1/2: failed: a peer failed",
        "part-fails 1/2: number of the run 0",
        "part-fails 2/2: failed: a peer failed",
        "part-fails 2/2: number of the run 1",
        "well 1/2: number of the run 0",
        "well 2/2: number of the run 1",
    ]
