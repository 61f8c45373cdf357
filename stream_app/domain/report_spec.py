"""The figures of a report: of the last hour, day and week, or of one custom range."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from stream_app.domain.local_days import local_days
from stream_app.domain.report import CSV_HEADER, FIGURE_NAMES, hours_of
from stream_app.domain.timestamps import DAY, SECOND, WEEK, format_instant
from stream_app.domain.uptime import window_totals
from stream_app.errors import ReportError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from pytz.tzinfo import BaseTzInfo

    from stream_app.domain.intervals import Interval
    from stream_app.domain.uptime import Count, StoreObservation

MAX_SPAN: Final = 400 * DAY
"""Longest time range of one report, in µs."""


def unknown_columns_of(columns: Iterable[str]) -> tuple[str, ...]:
    """Return, for each figure among some columns, the name of its part that no poll covers."""
    return tuple(
        f"unknown_{column}" for column in columns if column.startswith(("uptime_", "downtime_"))
    )


@dataclass(frozen=True, slots=True)
class ReportSpec:
    """The figures that a report contains, up to its reference time.

    Attributes:
        start: start of the custom range, µs; None: `duration` defines it, or the report has the
            three windows.
        duration: length of the custom range, µs.
        daily: one row for each local day of the range, or of the last 7 days.
        exact: seconds that are not rounded to the grid of minutes.
    """

    start: int | None = None
    duration: int | None = None
    daily: bool = False
    exact: bool = False

    @classmethod
    def of_columns(cls, columns: Collection[str]) -> ReportSpec:
        """Return the spec whose report has these columns, and perhaps more, of a later version.

        A custom range has the duration 0: columns do not say which range it is.
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
            raise ReportError(f"the time asked for is longer than {MAX_SPAN // DAY} days")
        return start, reference


_SPECS: Final = (
    ReportSpec(),
    ReportSpec(exact=True),
    # their columns include those of the range as a whole
    ReportSpec(duration=0, daily=True),
    ReportSpec(duration=0, daily=True, exact=True),
    ReportSpec(duration=0),
    ReportSpec(duration=0, exact=True),
)
"""One spec for each set of columns."""


@dataclass(frozen=True, slots=True)
class ReportRow:
    """One row of a store's report.

    Attributes:
        values: in the order of the spec's columns.
        polls_counted: number of polls in its time; for the whole range also in the lookback.
        coverage: share of its open time that polls cover, 0 to 1; None: the store is never open.
        unknown: the part of each figure that no poll covers, in the order of `unknown_columns`.
    """

    values: list[Any]
    polls_counted: int
    coverage: float | None
    unknown: Sequence[float] = ()


def build_rows(
    spec: ReportSpec, store_id: str, observed: StoreObservation, tz: BaseTzInfo
) -> list[ReportRow]:
    """Build the rows of a store: one, or one for each local day.

    Args:
        spec: the figures.
        store_id: the first value of each row.
        observed: the state of the store over the spec's span.
        tz: the store's timezone, which defines the local days.
    """
    start, end = observed.start, observed.end
    if spec.windows:
        count, count_unknown = _counts(spec, observed)
        return [
            ReportRow(
                [store_id, *_window_values(spec, count, end)],
                len(observed.polls),
                observed.coverage([(start, end)]),
                _window_values(spec, count_unknown, end),
            )
        ]
    if not spec.daily:
        return [_range_row(spec, [store_id], observed, [(start, end)], len(observed.polls))]
    return [
        _range_row(spec, [store_id, day.isoformat()], observed, parts)
        for day, parts in local_days(tz, start, end).items()
    ]


def _counts(spec: ReportSpec, observed: StoreObservation) -> tuple[Count, Count]:
    """Return the functions that count a window in the spec's unit: all, and the unknown part."""
    if spec.exact:
        return observed.microseconds, observed.unknown_microseconds
    return observed.minutes, observed.unknown_minutes


def _window_values(spec: ReportSpec, count: Count, end: int) -> list[float]:
    totals = window_totals(count, end)
    hour, day, week = totals.hour, totals.day, totals.week
    if spec.exact:
        amounts = (hour.up, day.up, week.up, hour.down, day.down, week.down)
        return [amount / SECOND for amount in amounts]
    return [
        hour.up,
        hours_of(day.up),
        hours_of(week.up),
        hour.down,
        hours_of(day.down),
        hours_of(week.down),
    ]


def _range_row(
    spec: ReportSpec,
    names: list[str],
    observed: StoreObservation,
    parts: list[Interval],
    polls: int | None = None,
) -> ReportRow:
    if polls is None:
        polls = sum(observed.polls_in(*part) for part in parts)
    times = [format_instant(parts[0][0]), format_instant(parts[-1][1])]
    count, count_unknown = _counts(spec, observed)
    return ReportRow(
        [*names, *times, *_sums(spec, count, parts)],
        polls,
        observed.coverage(parts),
        _sums(spec, count_unknown, parts),
    )


def _sums(spec: ReportSpec, count: Count, parts: Iterable[Interval]) -> list[float]:
    totals = [count(*part) for part in parts]
    up, down = sum(total.up for total in totals), sum(total.down for total in totals)
    return [up / SECOND, down / SECOND] if spec.exact else [up, down]
