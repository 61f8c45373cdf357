"""A line of the table: what is measured, in which figures, against which targets."""

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
        title: what it is, in words.
        unit: such as `s`, `ms`, `MB`, `polls/s`.
        most: the target is at most this.
        least: the target is at least this.
    """

    name: str
    title: str
    unit: str
    most: float | None = None
    least: float | None = None

    @property
    def target(self) -> str:
        """Return the target in words; empty where there is none."""
        if self.most is not None:
            return f"<= {self.most:,g}"
        return f">= {self.least:,g}" if self.least is not None else ""

    def met(self, value: float) -> bool | None:
        """Return True if a value meets the target; None without a target."""
        if self.most is not None:
            return value <= self.most
        return value >= self.least if self.least is not None else None


@dataclass(frozen=True, slots=True)
class Line:
    """One measurement.

    Attributes:
        name: what `--only` takes, and the name of its file of results.
        title: what is measured, in one line.
        figures: what `measure` gives, in the order of the table.
        measure: one run; a value for the name of each figure. Further names are kept with the
            run and are not in the table.
        shares_state: it only reads the deployment of `Bench.loaded`, which such lines share.
        most_runs: more would take long and tell no more.
    """

    name: str
    title: str
    figures: tuple[Figure, ...]
    measure: Callable[[Bench], Awaitable[Mapping[str, float]]]
    shares_state: bool = False
    most_runs: int | None = None


def cpu_figures(*processes: str) -> tuple[Figure, ...]:
    """Return figures for the CPU seconds that each process took: they share the machine."""
    return tuple(Figure(f"cpu_{name}", f"CPU of the {name}", "s") for name in processes)
