"""Compares measured figures with the physical limits of the machine.

A limit is the shortest time for a work on this machine: all its bytes are copied once in memory,
durable bytes are written to the disk, and JSON is parsed by one core.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from benchmarks.processes import MEGABYTE
from benchmarks.results import read_result
from benchmarks.tables import markdown_table, number

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HEADER: Final = (
    *("work", "unit", "measured", "at the limit", "times the limit"),
    *("the physical limit", "what limits it now"),
)
WEEK_POLLS: Final = 170
"""Hourly polls of a store that a report reads: those of a week and of the lookback."""

POLL_BYTES: Final = 8
ROW_BYTES: Final = 80
"""Bytes of a store in the report's CSV."""


class MissingFigureError(Exception):
    """A figure that a comparison needs is not measured yet."""


class Medians:
    """The medians of the stored results in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, line: str, figure: str) -> float:
        """Return the median of a figure.

        Raises:
            MissingFigureError: no run has it.
        """
        result = read_result(line, self._folder)
        spread = result.spread(figure) if result else None
        if spread is None:
            raise MissingFigureError(f"{line}: {figure}")
        return spread.median

    def memory_seconds(self, size: float) -> float:
        """Return the seconds in which so many bytes are copied in memory."""
        return size / MEGABYTE / self("limits", "memory")

    def disk_seconds(self, size: float) -> float:
        """Return the seconds in which so many bytes are written to the disk."""
        return size / MEGABYTE / self("limits", "disk")


@dataclass(frozen=True, slots=True)
class Distance:
    """One figure and its physical limit.

    Attributes:
        work: the work in words.
        unit: the unit of the measured value and of the limit.
        measured: reads the measured value.
        limit: computes the limit in the same unit.
        physical: the limit in words.
        now: what limits the work at present.
        rate: True if a larger value is better.
    """

    work: str
    unit: str
    measured: Callable[[Medians], float]
    limit: Callable[[Medians], float]
    physical: str
    now: str
    rate: bool = False

    def row(self, medians: Medians) -> tuple[str, ...]:
        """Return the row of the table with `HEADER`.

        Raises:
            MissingFigureError: a figure is not measured yet.
        """
        measured, limit = self.measured(medians), self.limit(medians)
        times = limit / measured if self.rate else measured / limit
        shown = (number(value) for value in (measured, limit, times))
        return (self.work, self.unit, *shown, self.physical, self.now)


def _read_and_stored(medians: Medians, line: str, polls: str) -> float:
    """Return the seconds to read the files once, and to write topic and changelog."""
    stored = medians("replay", "source_bytes_per_poll")
    stored += medians("replay", "changelog_bytes_per_poll")
    return medians.memory_seconds(medians("csv-reports", "input_bytes")) + medians.disk_seconds(
        stored * medians(line, polls)
    )


def _bulk_limit(medians: Medians) -> float:
    polls = medians("comparison", "bulk_polls")
    return medians.memory_seconds(
        polls * medians("replay", "source_bytes_per_poll")
    ) + medians.disk_seconds(polls * medians("replay", "changelog_bytes_per_poll"))


def _live_limit(medians: Medians) -> float:
    polls = medians("comparison", "live_polls")
    return polls / medians("limits", "parse_single_polls") + medians.disk_seconds(
        polls * medians("kafka-pings", "changelog_bytes_per_poll")
    )


def _fleet_limit(stores: float, medians: Medians) -> float:
    return medians.memory_seconds(stores * (WEEK_POLLS * POLL_BYTES + ROW_BYTES))


DISTANCES: Final = (
    Distance(
        "300,000 single records into the state",
        "s",
        lambda medians: medians("comparison", "live_ours_seconds"),
        _live_limit,
        "one core parses every record once; the changelog is written to the disk",
        "the worker's core: records are applied one store at a time, in Python",
    ),
    Distance(
        "1.9 M polls in batches into the state",
        "s",
        lambda medians: medians("comparison", "bulk_ours_seconds"),
        _bulk_limit,
        "the topic passes through memory once; the changelog is written to the disk",
        "the worker's core: grouping, merging and the changelog's batches",
    ),
    Distance(
        "1.9 M polls from CSV until all is visible",
        "s",
        lambda medians: medians("replay", "visible"),
        lambda medians: _read_and_stored(medians, "csv-reports", "polls"),
        "the files pass through memory once; topic and changelog are written to the disk",
        "the command: its start, parsing the files, encoding",
    ),
    Distance(
        "CSV to the reports of all stores",
        "s",
        lambda medians: medians("csv-reports", "ours_seconds"),
        lambda medians: (
            _read_and_stored(medians, "csv-reports", "polls")
            + _fleet_limit(medians("csv-reports", "checked_stores"), medians)
        ),
        "as above, and the week of every store passes through memory once",
        "the command, then the first report of a worker",
    ),
    Distance(
        "one report of all 4,559 stores",
        "s",
        lambda medians: medians("fleet", "complete"),
        lambda medians: _fleet_limit(medians("fleet", "rows"), medians),
        "the week of every store passes through memory once",
        "the worker's core: the arithmetic of intervals in Python",
    ),
    Distance(
        "one report of 100,000 stores, two workers",
        "s",
        lambda medians: medians("large-fleet", "warm"),
        lambda medians: _fleet_limit(medians("large-fleet", "rows"), medians) / 2,
        "the week of every store passes through memory once, half in each worker",
        "the workers' cores, as above",
    ),
    Distance(
        "an empty disk restored, 1.9 M polls",
        "s",
        lambda medians: medians("restart", "empty_ready"),
        lambda medians: (
            medians.memory_seconds(
                medians("comparison", "bulk_polls") * medians("replay", "changelog_bytes_per_poll")
            )
            + medians.disk_seconds(
                medians("comparison", "bulk_polls") * medians("replay", "state_bytes_per_poll")
            )
        ),
        "the changelog passes through memory once; the databases are written to the disk",
        "the fetches from the broker, and opening the databases",
    ),
    Distance(
        "live single posts, one API process",
        "posts/s",
        lambda medians: medians("http-pings", "single_mixed"),
        lambda medians: medians("http-pings", "single_mixed_bare"),
        "bare aiohttp: a request parsed and answered, on a core of its own",
        "two cores for API, worker, broker and load",
        rate=True,
    ),
    Distance(
        "live posts in batches of 100 stores, one API process",
        "polls/s",
        lambda medians: medians("http-pings", "batch_mixed"),
        lambda medians: medians("http-pings", "batch_mixed_bare"),
        "bare aiohttp: a body parsed and answered, on a core of its own",
        "two cores for API, worker, broker and load",
        rate=True,
    ),
)


def distances_section(folder: Path) -> str:
    """Return a table of the figures that are measured, with their physical limits."""
    medians = Medians(folder)
    rows = []
    missing = []
    for distance in DISTANCES:
        try:
            rows.append(distance.row(medians))
        except MissingFigureError:
            missing.append(f"\n- {distance.work}: not measured yet")
    if not rows:
        return "Not measured yet.\n"
    return markdown_table(HEADER, rows) + "".join(missing) + ("\n" if missing else "")
