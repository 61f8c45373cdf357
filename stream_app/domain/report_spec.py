"""What figures a report has: the three windows, or a span of one's own, whole or day by day."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from stream_app.domain.local_days import local_days
from stream_app.domain.report import CSV_HEADER, FIGURE_NAMES, StoreReport
from stream_app.domain.timestamps import DAY, SECOND, WEEK, format_instant
from stream_app.domain.uptime import unknown_window_totals, window_totals
from stream_app.errors import ReportError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pytz.tzinfo import BaseTzInfo

    from stream_app.domain.intervals import Interval
    from stream_app.domain.uptime import StoreObservation, UpDown, WindowTotals

MAX_SPAN: Final = 400 * DAY
"""Of one report."""


def unknown_columns_of(columns: Iterable[str]) -> tuple[str, ...]:
    """For each figure among some columns, the name of how much of it no poll backs."""
    return tuple(
        f"unknown_{column}" for column in columns if column.startswith(("uptime_", "downtime_"))
    )


@dataclass(frozen=True, slots=True)
class ReportSpec:
    """What a report tells, up to its reference time.

    Attributes:
        start: µs; where the span begins. None: `duration` tells, or the three windows are meant.
        duration: µs; length of the span.
        daily: a row for each local day of the span, or of the last 7 days.
        exact: seconds without the grid of minutes.
    """

    start: int | None = None
    duration: int | None = None
    daily: bool = False
    exact: bool = False

    @property
    def windows(self) -> bool:
        """Whether it has the figures of the last hour, day and week."""
        return self.start is None and self.duration is None and not self.daily

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the CSV."""
        if self.windows:
            if not self.exact:
                return CSV_HEADER
            return ("store_id", *(f"{name}_seconds" for name in FIGURE_NAMES))
        unit = "seconds" if self.exact else "minutes"
        date = ("date",) if self.daily else ()
        return ("store_id", *date, "start", "end", f"uptime_{unit}", f"downtime_{unit}")

    @property
    def unknown_columns(self) -> tuple[str, ...]:
        """For each figure, the name of how much of it no poll backs."""
        return unknown_columns_of(self.columns)

    def span(self, reference: int) -> Interval:
        """From where to where polls are looked at, without the lookback.

        Raises:
            ReportError: it would be empty or too long.
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


@dataclass(frozen=True, slots=True)
class ReportRow:
    """One row of a store's report.

    Attributes:
        values: in the order of the form's columns.
        polls_counted: polls in its time; of the whole span with the lookback before it.
        coverage: the share of its open time that polls back, 0 to 1; None: it is never open.
        unknown: how much of each figure no poll backs, in the order of `unknown_columns`.
    """

    values: list[Any]
    polls_counted: int
    coverage: float | None
    unknown: Sequence[float] = ()


def build_rows(
    form: ReportSpec, store_id: str, observed: StoreObservation, tz: BaseTzInfo
) -> list[ReportRow]:
    """The rows of a store: one, or one a local day.

    Args:
        form: what is asked for.
        store_id: the first value of each row.
        observed: the form's span.
        tz: the store's zone, whose days are meant.
    """
    start, end = observed.start, observed.end
    if form.windows:
        values = [store_id, *_window_values(form, observed, window_totals)]
        unknown = list(_window_values(form, observed, unknown_window_totals))
        return [ReportRow(values, len(observed.polls), observed.coverage([(start, end)]), unknown)]
    if not form.daily:
        return [_span_row(form, [store_id], observed, [(start, end)], len(observed.polls))]
    return [
        _span_row(form, [store_id, day.isoformat()], observed, parts)
        for day, parts in local_days(tz, start, end).items()
    ]


def _window_values(
    form: ReportSpec, observed: StoreObservation, measure: Callable[..., WindowTotals]
) -> Iterator[float]:
    figures = measure(observed, exactly=form.exact)
    if form.exact:
        for side in ("up", "down"):
            for window in (figures.hour, figures.day, figures.week):
                yield getattr(window, side) / SECOND
        return
    report = StoreReport.from_figures("", observed.end, figures)
    for name in FIGURE_NAMES:
        yield getattr(report, name)


def _span_row(
    form: ReportSpec,
    names: list[str],
    observed: StoreObservation,
    parts: list[Interval],
    polls: int | None = None,
) -> ReportRow:
    if polls is None:
        polls = sum(observed.polls_in(*part) for part in parts)
    times = [format_instant(parts[0][0]), format_instant(parts[-1][1])]
    split, unknown = (
        (observed.microseconds, observed.unknown_microseconds)
        if form.exact
        else (observed.minutes, observed.unknown_minutes)
    )
    return ReportRow(
        [*names, *times, *_sums(form, split, parts)],
        polls,
        observed.coverage(parts),
        _sums(form, unknown, parts),
    )


def _sums(
    form: ReportSpec, split: Callable[[int, int], UpDown], parts: Iterable[Interval]
) -> list[float]:
    found = [split(*part) for part in parts]
    up, down = sum(window.up for window in found), sum(window.down for window in found)
    return [up / SECOND, down / SECOND] if form.exact else [up, down]
