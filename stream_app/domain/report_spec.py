"""The figures of a report: of the last hour, day and week, or of one custom range."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from stream_app.domain.report import CSV_HEADER, FIGURE_NAMES
from stream_app.domain.timestamps import DAY, WEEK, format_instant
from stream_app.errors import ReportError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from stream_app.domain.intervals import Interval

MAX_SPAN: Final = 400 * DAY
"""Longest time range of one report, in µs."""


def unknown_columns_of(columns: Iterable[str]) -> tuple[str, ...]:
    """Return the names of the parts that no poll covers, one for each figure among some columns."""
    return tuple(
        f"unknown_{column}" for column in columns if column.startswith(("uptime_", "downtime_"))
    )


@dataclass(frozen=True, slots=True)
class ReportSpec:
    """The figures that a report contains, up to its reference time.

    Attributes:
        start: start of the custom range, µs; None if `duration` defines it, or if the report has
            the three windows.
        duration: length of the custom range, µs.
        daily: True for one row for each local day of the range, or of the last 7 days.
        exact: True for seconds that are not rounded to the grid of minutes.
    """

    start: int | None = None
    duration: int | None = None
    daily: bool = False
    exact: bool = False

    @classmethod
    def of_columns(cls, columns: Collection[str]) -> ReportSpec:
        """Return the spec of a report with these columns; a later version may have further ones.

        The spec of a custom range has the duration 0, since columns do not say which range it is.
        """
        return next((spec for spec in _SPECS if set(spec.columns) <= set(columns)), cls())

    @property
    def windows(self) -> bool:
        """Return True for the figures of the last hour, day and week."""
        return self.start is None and self.duration is None and not self.daily

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns of the CSV."""
        if self.windows:
            if not self.exact:
                return CSV_HEADER
            return ("store_id", *(f"{name}_seconds" for name in FIGURE_NAMES))
        unit = "seconds" if self.exact else "minutes"
        date = ("date",) if self.daily else ()
        return ("store_id", *date, "start", "end", f"uptime_{unit}", f"downtime_{unit}")

    @property
    def unknown_columns(self) -> tuple[str, ...]:
        """Return, for each figure, the name of the part of it that no poll covers."""
        return unknown_columns_of(self.columns)

    def span(self, reference: int) -> Interval:
        """Return the time range whose polls are read, without the lookback.

        Raises:
            ReportError: the range is empty or too long.
        """
        start = self.start
        if start is None:
            start = reference - (WEEK if self.duration is None else self.duration)
        if start >= reference:
            raise ReportError(
                f"the start, {format_instant(start)}, is not before the end, "
                f"{format_instant(reference)}"
            )
        if reference - start > MAX_SPAN:
            raise ReportError(f"the requested range is longer than {MAX_SPAN // DAY} days")
        return start, reference


_SPECS: Final = (
    ReportSpec(),
    ReportSpec(exact=True),
    # before the specs of a whole range, whose columns are among these
    ReportSpec(duration=0, daily=True),
    ReportSpec(duration=0, daily=True, exact=True),
    ReportSpec(duration=0),
    ReportSpec(duration=0, exact=True),
)
"""One spec for each set of columns."""
