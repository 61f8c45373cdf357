"""Results as they are kept: one JSON file a line, every run with every figure."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

FOLDER: Final = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Spread:
    """What several runs gave."""

    least: float
    median: float
    most: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        """The spread of at least one value."""
        return cls(min(values), median(values), max(values))


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a line.

    Attributes:
        line: its name.
        title: what was measured.
        machine: on what, in words.
        measured: when, ISO 8601.
        runs: the figures of each run.
        notes: what a reader must know.
        problem: why there are none, or no more; empty where all is well.
    """

    line: str
    title: str
    machine: dict[str, str]
    measured: str
    runs: list[dict[str, float]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problem: str = ""

    def values(self, figure: str) -> list[float]:
        """A figure in every run that has it."""
        return [run[figure] for run in self.runs if figure in run]

    def spread(self, figure: str) -> Spread | None:
        """The spread of a figure; None where no run has it."""
        values = self.values(figure)
        return Spread.of(values) if values else None


def write_result(result: Result, folder: Path = FOLDER) -> Path:
    """Keep a result; an earlier one of the same line is replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result.line}.json"
    content = asdict(result)
    content["runs"] = [
        {name: round(value, 6) for name, value in run.items()} for run in result.runs
    ]
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return path


def read_result(line: str, folder: Path = FOLDER) -> Result | None:
    """The kept result of a line; None where there is none."""
    path = folder / f"{line}.json"
    if not path.exists():
        return None
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return Result(**content)
