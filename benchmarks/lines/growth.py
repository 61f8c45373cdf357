"""Measures time and memory of replays with 1 to 16 times as many polls or stores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from benchmarks.inputs import DAYS, STORES
from benchmarks.line import Figure, Line
from benchmarks.lines.replay import measure_replay

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from benchmarks.bench import Bench

FACTORS: Final = (1, 2, 4, 8, 16)
KINDS: Final = ("polls", "stores")
QUANTITIES: Final = (
    ("visible", "until all is visible", "s"),
    ("worker_peak", "memory of the worker, the most", "MB"),
    ("replay_peak", "memory of the command, the most", "MB"),
)
_BASE: Final = 4
"""The factor that stands for the whole data set."""


def shape(kind: str, factor: int) -> tuple[int, float]:
    """Return the stores and the days of a factor."""
    if kind == "polls":
        return STORES, round(DAYS * factor / _BASE, 2)
    return STORES * factor // _BASE, DAYS


async def measure(bench: Bench) -> Mapping[str, float]:
    """Measure a replay for every factor, each into a new deployment."""
    figures: dict[str, float] = {}
    for kind in KINDS:
        for factor in FACTORS:
            stores, days = shape(kind, factor)
            inputs = bench.inputs(stores=stores, days=days)
            measured = await measure_replay(bench, inputs)
            figures[f"{kind}_{factor}_rows"] = inputs.polls
            for name, _, _ in QUANTITIES:
                figures[f"{kind}_{factor}_{name}"] = measured[name]
        for name, _, _ in QUANTITIES:
            figures[f"{kind}_{name}_ratio"] = (
                figures[f"{kind}_{FACTORS[-1]}_{name}"] / figures[f"{kind}_{FACTORS[0]}_{name}"]
            )
    return figures


def _figures() -> Iterator[Figure]:
    most = float(FACTORS[-1])
    for kind in KINDS:
        for name, title, unit in QUANTITIES:
            for factor in FACTORS:
                yield Figure(f"{kind}_{factor}_{name}", f"{factor}x {kind}: {title}", unit)
            yield Figure(
                f"{kind}_{name}_ratio", f"{FACTORS[-1]}x {kind} to 1x: {title}", "", target_max=most
            )


LINE: Final = Line(
    name="growth",
    title="1x to 16x of polls and of stores; 1x is 475,000 polls",
    figures=tuple(_figures()),
    measure=measure,
    max_runs=2,
)
