"""Rows of business hours and time zones, gathered by store over all files of a run.

They are a few for each store, so they are held whole and read row by row.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from producers.csv_replay.table import Columns, Refused, pick_values
from stream_app.contracts.business_hours import MAX_HOURS_ROWS
from stream_app.contracts.fields import parse_uuid
from stream_app.contracts.stores import zone_name_in
from stream_app.domain.business_hours import Row, WeeklyHours, parse_day
from stream_app.domain.timezones import find_zone
from stream_app.errors import RecordError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from producers.csv_replay.open_file import Table


_STORE_ID: Final = re.compile(
    rb"(?<![0-9a-f])[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}(?![0-9a-f])", re.IGNORECASE
)
"""The store that a row is about, whatever else is wrong with it."""


@dataclass(frozen=True, slots=True)
class RegistryChunk:
    """What one chunk of a file held: rows that were taken, repeated rows, refused ones."""

    accepted: int
    duplicates: int
    refused: list[Refused]


@dataclass(slots=True)
class Registry:
    """The hours and zones of all stores.

    Attributes:
        hours: the different rows of each store, in file order.
        zones: the zone of each store as its last row has it.
        never_open: for each store, how many of its rows start when they end.
        refused_hours: for each store that a refused row names, how many such rows of hours.
    """

    hours: dict[str, dict[Row, None]] = field(default_factory=dict)
    zones: dict[str, str] = field(default_factory=dict)
    never_open: Counter[str] = field(default_factory=Counter)
    refused_hours: Counter[str] = field(default_factory=Counter)

    def add_hours(self, line: bytes, columns: Columns) -> bool | None:
        """Take one row of hours; False where the store has it already, None for a blank line.

        Raises:
            RecordError: the row cannot be accepted.
        """
        try:
            values = pick_values(line, columns)
            if values is None:
                return None
            store_id = parse_uuid(values[0])
            row, opens = hours_row(*values[1:])
        except RecordError:
            stores = {parse_uuid(found.decode()) for found in _STORE_ID.findall(line)}
            if len(stores) == 1:
                self.refused_hours[stores.pop()] += 1
            raise
        rows = self.hours.setdefault(store_id, {})
        if row in rows:
            return False
        if len(rows) == MAX_HOURS_ROWS:
            raise RecordError(f"more than {MAX_HOURS_ROWS:,} rows of hours for one store")
        rows[row] = None
        if not opens:
            self.never_open[store_id] += 1
        return True

    def add_zone(self, line: bytes, columns: Columns) -> bool | None:
        """Take the zone of a store; False where it replaces an earlier row, None for a blank line.

        Raises:
            RecordError: the row cannot be accepted.
        """
        values = pick_values(line, columns)
        if values is None:
            return None
        store_id = parse_uuid(values[0])
        name = zone_name_in(values[1], "timezone_str")
        new = store_id not in self.zones
        self.zones[store_id] = name
        return new

    def without_hours(self) -> dict[str, int]:
        """The stores that have rows of hours, none of them good, and how many."""
        return {
            store: rows for store, rows in self.refused_hours.items() if store not in self.hours
        }

    def unknown_zones(self) -> dict[str, str]:
        """The stores whose zone is no zone: the default one applies to them."""
        return {store: name for store, name in self.zones.items() if find_zone(name) is None}


@lru_cache(maxsize=65536)
def hours_row(day: str, start: str, end: str) -> tuple[Row, bool]:
    """The row, and whether it opens the store at all; stores share most of their rows."""
    row = (parse_day(day), start.strip(), end.strip())
    return row, not WeeklyHours.from_rows([row]).never_open_rows


def read_hours(table: Table, registry: Registry) -> Iterator[RegistryChunk]:
    """Add a file of business hours to a registry, chunk by chunk.

    Raises:
        StoreUptimeError: the file cannot be read to its end.
    """
    return _read(table, registry.add_hours)


def read_zones(table: Table, registry: Registry) -> Iterator[RegistryChunk]:
    """Add a file of time zones to a registry, chunk by chunk.

    Raises:
        StoreUptimeError: the file cannot be read to its end.
    """
    return _read(table, registry.add_zone)


def _read(table: Table, add: Callable[[bytes, Columns], bool | None]) -> Iterator[RegistryChunk]:
    columns = table.columns
    if columns is None:
        return
    for chunk in table.chunks():
        accepted = duplicates = 0
        refused: list[Refused] = []
        for number, line in enumerate(chunk.data.split(b"\n"), chunk.first_line):
            if not line:
                continue
            try:
                new = add(line, columns)
            except RecordError as error:
                refused.append(table.refuse(number, str(error), line))
                continue
            accepted += new is True
            duplicates += new is False
        yield RegistryChunk(accepted, duplicates, refused)
