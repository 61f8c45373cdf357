"""The public figures of a store, and the CSV that lists them."""

from __future__ import annotations

import csv
import io
from itertools import islice
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

FIGURE_NAMES: Final = (
    "uptime_last_hour",
    "uptime_last_day",
    "uptime_last_week",
    "downtime_last_hour",
    "downtime_last_day",
    "downtime_last_week",
)
CSV_HEADER: Final = ("store_id", *FIGURE_NAMES)

CHUNK_ROWS: Final = 500
"""Rows of CSV that are written at a time (about 40 kB)."""


def hours_of(minutes: int) -> float:
    """Return the minutes as hours with two decimals."""
    return round(minutes / 60, 2)


def csv_text(rows: Iterable[Sequence[object]], columns: Sequence[str] = CSV_HEADER) -> str:
    r"""Return the public CSV: a header row, then the rows; each ends with `\n`.

    Args:
        rows: the values of each row, in the order of the columns.
        columns: the header.
    """
    return "".join(csv_chunks(rows, columns))


def csv_chunks(
    rows: Iterable[Sequence[object]], columns: Sequence[str] = CSV_HEADER
) -> Iterator[str]:
    """Yield the text of `csv_text`, one chunk of rows after the other."""
    iterator = iter(rows)
    yield _csv_lines([columns])
    while chunk := list(islice(iterator, CHUNK_ROWS)):
        yield _csv_lines(chunk)


def _csv_lines(rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
