"""Draws plots of stored results as SVG; the same results give the same bytes."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any, Final

from benchmarks.errors import NotRunError
from benchmarks.lines.growth import FACTORS, KINDS, QUANTITIES
from benchmarks.results import FOLDER, read_result

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.results import Result

GROWTH: Final = "growth.svg"
_STYLE: Final[dict[str, Any]] = {
    "svg.hashsalt": "store-uptime",
    "svg.fonttype": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "font.size": 9,
}


def write_plots(folder: Path = FOLDER) -> list[Path]:
    """Draw the plots of the results in a folder; return the files.

    Raises:
        NotRunError: matplotlib is not installed.
    """
    growth = read_result("growth", folder)
    if growth is None or not growth.runs:
        return []
    return [plot_growth(growth, folder / GROWTH)]


def plot_growth(result: Result, output: Path) -> Path:
    """Plot time and memory of a replay against its size; a dashed line is a linear cost.

    Raises:
        NotRunError: matplotlib is not installed.
    """
    # it takes a second to import, and only plots need it
    try:
        import matplotlib  # noqa: PLC0415
        from matplotlib import pyplot  # noqa: PLC0415
    except ImportError:
        raise NotRunError("matplotlib is missing: `make bench` installs it") from None

    matplotlib.use("svg")
    factors = measured_factors(result)

    with matplotlib.rc_context(_STYLE):
        figure, axes = pyplot.subplots(1, len(QUANTITIES), figsize=(10, 3.2), layout="constrained")
        for axis, (name, title, unit) in zip(axes, QUANTITIES, strict=True):
            for kind in KINDS:
                values = [_median(result, f"{kind}_{factor}_{name}") for factor in factors]
                axis.plot(factors, values, marker="o", label=f"more {kind}")
            first = _median(result, f"{KINDS[0]}_{factors[0]}_{name}")
            axis.plot(factors, [first * n for n in factors], "k--", linewidth=0.7, label="linear")
            axis.set(
                title=title, xlabel="times as many", ylabel=unit, xticks=factors, ylim=(0, None)
            )
        axes[0].legend(frameon=False)
        figure.savefig(output, metadata={"Date": None})
        pyplot.close(figure)
    return output


def measured_factors(result: Result) -> list[int]:
    """Return the factors of which a result has all figures; older results have fewer factors."""
    return [
        factor
        for factor in FACTORS
        if all(
            result.values(f"{kind}_{factor}_{name}") for kind in KINDS for name, _, _ in QUANTITIES
        )
    ]


def _median(result: Result, figure: str) -> float:
    return median(result.values(figure))
