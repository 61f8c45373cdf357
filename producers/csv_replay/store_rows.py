"""Collects the rows of business hours and timezones by store, over all files of a replay.

A store has few of them, so they are all held in memory and parsed row by row.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from producers.csv_replay.table import Columns, RejectedRow, pick_values
from stream_app.contracts.business_hours import MAX_HOURS_ROWS, BusinessHours
from stream_app.contracts.fields import parse_uuid
from stream_app.contracts.stores import timezone_name_in
from stream_app.domain.business_hours import Row, parse_day
from stream_app.domain.timezones import find_timezone
from stream_app.errors import RecordError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from producers.csv_replay.open_file import Table


_STORE_ID: Final = re.compile(
    rb"(?<![0-9a-f])[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}(?![0-9a-f])", re.IGNORECASE
)
"""A store id anywhere in a row, for rows that cannot be parsed."""


@dataclass(frozen=True, slots=True)
class StoreRowsChunk:
    """The accepted, the repeated and the rejected rows of one chunk of a file."""

    accepted: int
    duplicates: int
    rejected: list[RejectedRow]


@dataclass(slots=True)
class StoreRows:
    """The business hours and timezones of all stores in the files.

    Attributes:
        hours: the distinct rows of each store, in the order of the file.
        timezones: the timezone in the last row of each store.
        never_open: for each store, the number of its rows that start when they end.
        rejected_hours: for each store in a rejected row of hours, the number of such rows.
    """

    hours: dict[str, dict[Row, None]] = field(default_factory=dict)
    timezones: dict[str, str] = field(default_factory=dict)
    never_open: Counter[str] = field(default_factory=Counter)
    rejected_hours: Counter[str] = field(default_factory=Counter)

    def add_hours(self, line: bytes, columns: Columns) -> bool | None:
        """Add a row of hours; return False if the store has it already, None for a blank line.

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
            stores = {parse_uuid(store_id.decode()) for store_id in _STORE_ID.findall(line)}
            if len(stores) == 1:
                self.rejected_hours[stores.pop()] += 1
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

    def add_timezone(self, line: bytes, columns: Columns) -> bool | None:
        """Add a timezone; return False if it replaces an earlier row, None for a blank line.

        Raises:
            RecordError: the row cannot be accepted.
        """
        values = pick_values(line, columns)
        if values is None:
            return None
        store_id = parse_uuid(values[0])
        name = timezone_name_in(values[1], "timezone_str")
        new = store_id not in self.timezones
        self.timezones[store_id] = name
        return new

    def without_hours(self) -> dict[str, int]:
        """Return the stores whose rows of hours are all rejected, with the number of these rows."""
        return {
            store: rows for store, rows in self.rejected_hours.items() if store not in self.hours
        }

    def unknown_timezones(self) -> dict[str, str]:
        """Return the stores with an unknown timezone: the default one applies to them."""
        return {
            store: name for store, name in self.timezones.items() if find_timezone(name) is None
        }


@lru_cache(maxsize=65536)
def hours_row(day: str, start: str, end: str) -> tuple[Row, bool]:
    """Parse a row; return it, and True if it has any open time. Stores share most rows."""
    hours = BusinessHours(((parse_day(day), start, end),))
    return hours.rows[0], not hours.weekly.never_open_rows


def read_hours(table: Table, store_rows: StoreRows) -> Iterator[StoreRowsChunk]:
    """Add the rows of a file of business hours, chunk by chunk.

    Raises:
        StoreUptimeError: the file cannot be read to its end.
    """
    return _read(table, store_rows.add_hours)


def read_timezones(table: Table, store_rows: StoreRows) -> Iterator[StoreRowsChunk]:
    """Add the rows of a file of timezones, chunk by chunk.

    Raises:
        StoreUptimeError: the file cannot be read to its end.
    """
    return _read(table, store_rows.add_timezone)


def _read(table: Table, add: Callable[[bytes, Columns], bool | None]) -> Iterator[StoreRowsChunk]:
    columns = table.columns
    if columns is None:
        return
    for chunk in table.chunks():
        accepted = duplicates = 0
        rejected: list[RejectedRow] = []
        for number, line in enumerate(chunk.data.split(b"\n"), chunk.first_line):
            if not line:
                continue
            try:
                new = add(line, columns)
            except RecordError as error:
                rejected.append(table.rejected_row(number, str(error), line))
                continue
            accepted += new is True
            duplicates += new is False
        yield StoreRowsChunk(accepted, duplicates, rejected)
