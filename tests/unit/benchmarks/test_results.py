from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks.line import Figure, Line
from benchmarks.quantiles import quantile
from benchmarks.results import Result, Spread, read_result, write_result
from benchmarks.tables import markdown_table, number, rows

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from benchmarks.bench import Bench

FIGURES = (Figure("seconds", "how long", "s", target_max=2), Figure("rate", "how much", "polls/s"))


async def nothing(_bench: Bench) -> Mapping[str, float]:
    return {}


LINE = Line("walk", "a walk", FIGURES, nothing)


def result(*runs: dict[str, float], **more: object) -> Result:
    return Result("walk", "a walk", {"cpus": "2"}, "2024-01-01T00:00:00", list(runs), **more)  # type: ignore[arg-type]


def test_spread_has_the_median_of_odd_and_even_numbers_of_runs() -> None:
    assert Spread.of([3.0, 1.0, 2.0]) == Spread(1.0, 2.0, 3.0)
    assert Spread.of([1.0, 2.0]) == Spread(1.0, 1.5, 2.0)


def test_results_read_back_as_they_were_written(tmp_path: Path) -> None:
    written = result({"seconds": 1.5}, {"seconds": 2.5}, notes=["a peer is missing"], problem="no")
    write_result(written, tmp_path)
    assert read_result("walk", tmp_path) == written


def test_a_line_without_a_measurement_has_no_result(tmp_path: Path) -> None:
    assert read_result("walk", tmp_path) is None


def test_each_figure_is_a_row_with_the_verdict_on_the_median() -> None:
    table = rows(LINE, result({"seconds": 1.0, "rate": 10}, {"seconds": 9.0, "rate": 30}))
    assert table == [
        ("a walk", "how long", "s", "1", "5", "9", "<= 2", "MISSED"),
        ("", "how much", "polls/s", "10", "20", "30", "", ""),
    ]


def test_a_line_that_was_not_measured_is_a_row_with_its_reason() -> None:
    table = rows(LINE, result(problem="no broker", notes=["quix: not run"]))
    assert [row[1] for row in table] == ["quix: not run", "not measured: no broker"]


@pytest.mark.parametrize(
    ("figure", "value", "met"),
    [
        (Figure("a", "a", "s", target_max=2), 2, True),
        (Figure("a", "a", "s", target_max=2), 2.1, False),
        (Figure("a", "a", "/s", target_min=10), 10, True),
        (Figure("a", "a", "/s", target_min=10), 9, False),
        (Figure("a", "a", "s"), 9, None),
    ],
)
def test_a_figure_meets_or_misses_its_target(
    figure: Figure, value: float, met: bool | None
) -> None:
    assert figure.met(value) is met


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (0.034123, "0.0341"),
        (4.254, "4.25"),
        (299.6, "300"),
        (999.7, "1,000"),
        (44_108.3, "44,108"),
    ],
)
def test_numbers_have_three_digits_or_are_whole(value: float, shown: str) -> None:
    assert number(value) == shown


def test_markdown_escapes_what_would_end_a_cell() -> None:
    assert markdown_table(("a", "b"), [("x|y", "")]) == "| a | b |\n|---|---|\n| x\\|y |  |\n"


def test_a_quantile_is_a_value_that_occurred() -> None:
    values = [float(n) for n in range(100, 0, -1)]
    assert quantile(values, 0.5) == 50
    assert quantile(values, 0.99) == 99
    assert quantile(values, 1) == 100
    assert quantile([7.0], 0.01) == 7
    with pytest.raises(ValueError, match="no values"):
        quantile([], 0.5)
