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
    bench.problem("a peer failed")
    return {"run": bench.run}


async def test_every_line_is_measured_and_kept_whatever_became_of_the_others(
    tmp_path: Path,
) -> None:
    lines = [
        Line("second-fails", "", FIGURES, fails_the_second_time),
        Line("part-fails", "", FIGURES, fails_in_part),
        Line("well", "a title", FIGURES, numbered),
        Line("once", "", FIGURES, numbered, most_runs=1),
    ]
    said: list[str] = []
    found = await run_lines(lines, runs=2, results=tmp_path, say=said.append)
    assert [result.values("run") for result in found] == [[0], [0, 1], [0, 1], [0]]
    assert [result.problem for result in found] == ["no room", "a peer failed", "", ""]
    assert found[2].notes == ["said in every run"]
    assert found[2].machine["python"]
    for line, result in zip(lines, found, strict=True):
        kept = read_result(line.name, tmp_path)
        assert kept is not None
        assert (kept.values("run"), kept.problem) == (result.values("run"), result.problem)


async def test_what_is_done_is_said_with_the_line_and_the_run(tmp_path: Path) -> None:
    said: list[str] = []
    lines = [Line("part-fails", "", FIGURES, fails_in_part), Line("well", "", FIGURES, numbered)]
    await run_lines(lines, runs=2, results=tmp_path, say=said.append)
    assert said == [
        "part-fails 1/2: failed: a peer failed",
        "part-fails 1/2: number of the run 0",
        "part-fails 2/2: failed: a peer failed",
        "part-fails 2/2: number of the run 1",
        "well 1/2: number of the run 0",
        "well 2/2: number of the run 1",
    ]
