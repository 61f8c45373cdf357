"""The report of a store: six public figures, and the CSV that carries them."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

from stream_app.domain.timestamps import MINUTE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from stream_app.domain.uptime import WindowTotals

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
"""Rows that are written at a time: some 40 kB."""


def hours_of(minutes: int) -> float:
    """Minutes as hours with two decimals."""
    return round(minutes / 60, 2)


@dataclass(frozen=True, slots=True)
class StoreReport:
    """The figures of one store before one reference time.

    Attributes:
        store_id: the store's UUID.
        reference: where all windows end, in µs.
        uptime_last_hour: whole minutes.
        uptime_last_day: hours, two decimals.
        uptime_last_week: hours, two decimals.
        downtime_last_hour: whole minutes.
        downtime_last_day: hours, two decimals.
        downtime_last_week: hours, two decimals.
    """

    store_id: str
    reference: int
    uptime_last_hour: int
    uptime_last_day: float
    uptime_last_week: float
    downtime_last_hour: int
    downtime_last_day: float
    downtime_last_week: float

    @classmethod
    def from_figures(cls, store_id: str, reference: int, figures: WindowTotals) -> StoreReport:
        """The public figures of what `measure` counted.

        Raises:
            ValueError: the figures are not in minutes.
        """
        if figures.unit != MINUTE:
            raise ValueError(
                f"a report takes figures in minutes, not in units of {figures.unit} µs"
            )
        return cls(
            store_id=store_id,
            reference=reference,
            uptime_last_hour=figures.hour.up,
            uptime_last_day=hours_of(figures.day.up),
            uptime_last_week=hours_of(figures.week.up),
            downtime_last_hour=figures.hour.down,
            downtime_last_day=hours_of(figures.day.down),
            downtime_last_week=hours_of(figures.week.down),
        )


def to_csv(reports: Iterable[StoreReport]) -> str:
    r"""One header row, then one row a store in the given order; each ends with `\n`."""
    return csv_text([getattr(report, column) for column in CSV_HEADER] for report in reports)


def csv_text(rows: Iterable[Sequence[object]], columns: Sequence[str] = CSV_HEADER) -> str:
    """The public CSV of rows whose values are in the order of the columns."""
    return "".join(csv_chunks(rows, columns))


def csv_chunks(
    rows: Iterable[Sequence[object]], columns: Sequence[str] = CSV_HEADER
) -> Iterator[str]:
    """As `csv_text`, piece by piece."""
    left = iter(rows)
    yield _csv_lines([columns])
    while chunk := list(islice(left, CHUNK_ROWS)):
        yield _csv_lines(chunk)


def _csv_lines(rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
