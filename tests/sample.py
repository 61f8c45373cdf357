"""Reads input files in the simplest way, and computes their figures with the minute walk."""

from __future__ import annotations

import csv
import gzip
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tests.minute_walk import csv_row, walk

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).parents[1]
DATA = ROOT / "data"
STATUS = DATA / "store_status.csv.gz"
STATUS_2023 = DATA / "store_status_2023.csv.gz"
HOURS = DATA / "menu_hours.csv.gz"
ZONES = DATA / "timezones.csv.gz"


class Sample:
    """The business hours, timezones and polls in input files, by store."""

    def __init__(
        self,
        status: Iterable[Path],
        hours: Iterable[Path] = (HOURS,),
        zones: Iterable[Path] = (ZONES,),
    ) -> None:
        self.hours: defaultdict[str, list[tuple[int, str, str]]] = defaultdict(list)
        self.zones: dict[str, str] = {}
        self.polls: defaultdict[str, list[tuple[datetime, str]]] = defaultdict(list)
        for path in hours:
            for row in _rows(path):
                self.hours[row["store_id"]].append(
                    (int(row["dayOfWeek"]), row["start_time_local"], row["end_time_local"])
                )
        for path in zones:
            for row in _rows(path):
                self.zones[row["store_id"]] = row["timezone_str"]
        for path in status:
            for row in _rows(path):
                self.polls[row["store_id"]].append((_time(row["timestamp_utc"]), row["status"]))

    @property
    def stores(self) -> list[str]:
        """Return all stores that any file names, in their order."""
        return sorted({*self.hours, *self.zones, *self.polls})

    @property
    def newest_poll(self) -> datetime:
        """Return the newest poll, which is the default reference time of reports."""
        return max(time for polls in self.polls.values() for time, _ in polls)

    def csv_row(self, store_id: str, reference: datetime) -> str:
        """Return the row of a store's report."""
        minutes = walk(
            self.hours.get(store_id, []),
            self.zones.get(store_id),
            self.polls.get(store_id, []),
            reference,
        )
        return csv_row(store_id, minutes)


def _rows(path: Path) -> Iterator[dict[str, str]]:
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.removesuffix(" UTC")).replace(tzinfo=UTC)
