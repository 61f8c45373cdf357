"""Stores results: one JSON file for each line, with every figure of every run."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

FOLDER: Final = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Spread:
    """The smallest value, the median and the largest value of several runs."""

    minimum: float
    median: float
    maximum: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        """Return the spread of at least one value."""
        return cls(min(values), median(values), max(values))


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a line.

    Attributes:
        line: name of the line.
        title: title of the line.
        machine: description of the machine.
        measured: time of the measurement, ISO 8601.
        runs: the figures of each run.
        notes: remarks for the reader.
        problem: the reason for missing figures; empty if there are none.
    """

    line: str
    title: str
    machine: dict[str, str]
    measured: str
    runs: list[dict[str, float]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problem: str = ""

    def values(self, figure: str) -> list[float]:
        """Return the values of a figure in the runs that have it."""
        return [run[figure] for run in self.runs if figure in run]

    def spread(self, figure: str) -> Spread | None:
        """Return the spread of a figure; None if no run has it."""
        values = self.values(figure)
        return Spread.of(values) if values else None


def write_result(result: Result, folder: Path = FOLDER) -> Path:
    """Write a result; it replaces an earlier one of the same line."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result.line}.json"
    content = asdict(result)
    content["runs"] = [
        {name: round(value, 6) for name, value in run.items()} for run in result.runs
    ]
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return path


def read_result(line: str, folder: Path = FOLDER) -> Result | None:
    """Read the stored result of a line; None if there is none."""
    path = folder / f"{line}.json"
    if not path.exists():
        return None
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return Result(**content)
