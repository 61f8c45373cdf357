"""The description of a line of the table: its measurement, its figures and their targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from benchmarks.bench import Bench


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a line.

    Attributes:
        name: its key in the results.
        title: its description for the reader.
        unit: such as `s`, `ms`, `MB`, `polls/s`.
        target_max: the largest value that meets the target; None if there is none.
        target_min: the smallest value that meets the target; None if there is none.
    """

    name: str
    title: str
    unit: str
    target_max: float | None = None
    target_min: float | None = None

    @property
    def target(self) -> str:
        """Return the target as text, such as `<= 2`; empty if there is none."""
        if self.target_max is not None:
            return f"<= {self.target_max:,g}"
        return f">= {self.target_min:,g}" if self.target_min is not None else ""

    def met(self, value: float) -> bool | None:
        """Return True if a value meets the target; None without a target."""
        if self.target_max is not None:
            return value <= self.target_max
        return value >= self.target_min if self.target_min is not None else None


@dataclass(frozen=True, slots=True)
class Line:
    """One measurement.

    Attributes:
        name: its name for `--only`, and the name of its file of results.
        title: a description of the measurement in one line.
        figures: the figures that `measure` returns, in the order of the table.
        measure: measures one run, and returns the value of each figure by its name. Values with
            other names are stored with the run, but are not in the table.
        shares_state: whether it only reads the deployment of `Bench.loaded_deployment`.
        max_runs: the most runs, for a line that takes long or has the same result each time.
    """

    name: str
    title: str
    figures: tuple[Figure, ...]
    measure: Callable[[Bench], Awaitable[Mapping[str, float]]]
    shares_state: bool = False
    max_runs: int | None = None


def cpu_figures(*processes: str) -> tuple[Figure, ...]:
    """Return figures for the CPU seconds of processes, which share the machine."""
    return tuple(Figure(f"cpu_{name}", f"CPU of the {name}", "s") for name in processes)
