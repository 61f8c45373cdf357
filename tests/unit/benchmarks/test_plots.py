from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from benchmarks.errors import NotRunError
from benchmarks.lines.growth import FACTORS, KINDS, QUANTITIES
from benchmarks.plots import measured_factors, write_plots
from benchmarks.results import Result, write_result

if TYPE_CHECKING:
    from pathlib import Path


def test_no_plot_is_drawn_without_results(tmp_path: Path) -> None:
    assert write_plots(tmp_path) == []


def test_a_result_without_the_largest_factor_is_drawn_up_to_the_others() -> None:
    figures = {
        f"{kind}_{factor}_{name}": float(factor)
        for kind in KINDS
        for factor in FACTORS[:-1]
        for name, _, _ in QUANTITIES
    }
    result = Result("growth", "", {}, "2024-01-01T00:00:00", [figures])
    assert measured_factors(result) == list(FACTORS[:-1])


def test_without_matplotlib_the_error_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = {
        f"{kind}_{factor}_{name}": float(factor)
        for kind in KINDS
        for factor in FACTORS
        for name, _, _ in QUANTITIES
    }
    write_result(Result("growth", "", {}, "2024-01-01T00:00:00", [figures]), tmp_path)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(NotRunError, match="make bench"):
        write_plots(tmp_path)
