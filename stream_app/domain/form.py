"""What figures a report has: the three windows, or a span of one's own, whole or day by day."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from stream_app.domain.days import local_days
from stream_app.domain.instants import DAY, SECOND, WEEK, format_instant
from stream_app.domain.report import CSV_HEADER, FIGURE_NAMES, StoreReport
from stream_app.domain.uptime import figures_of
from stream_app.errors import ReportError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pytz.tzinfo import BaseTzInfo

    from stream_app.domain.intervals import Interval
    from stream_app.domain.uptime import Observed

MAX_SPAN: Final = 400 * DAY
"""Of one report."""


@dataclass(frozen=True, slots=True)
class ReportForm:
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
class FormRow:
    """One row of a store's report.

    Attributes:
        values: in the order of the form's columns.
        polls_counted: polls in its time; of the whole span with the lookback before it.
        coverage: the share of its open time that polls back, 0 to 1; None: it is never open.
    """

    values: list[Any]
    polls_counted: int
    coverage: float | None


def rows_of(form: ReportForm, store_id: str, observed: Observed, tz: BaseTzInfo) -> list[FormRow]:
    """The rows of a store: one, or one a local day.

    Args:
        form: what is asked for.
        store_id: the first value of each row.
        observed: the form's span.
        tz: the store's zone, whose days are meant.
    """
    start, end = observed.start, observed.end
    if form.windows:
        values = list(_window_values(form, store_id, observed))
        return [_row(values, observed, [(start, end)], len(observed.polls))]
    if not form.daily:
        whole = [(start, end)]
        values = [store_id, *_span_values(form, observed, whole)]
        return [_row(values, observed, whole, len(observed.polls))]
    return [
        _row([store_id, day.isoformat(), *_span_values(form, observed, parts)], observed, parts)
        for day, parts in local_days(tz, start, end).items()
    ]


def _window_values(form: ReportForm, store_id: str, observed: Observed) -> Iterator[Any]:
    figures = figures_of(observed, exactly=form.exact)
    if form.exact:
        yield store_id
        for side in ("up", "down"):
            for window in (figures.hour, figures.day, figures.week):
                yield getattr(window, side) / SECOND
        return
    report = StoreReport.from_figures(store_id, observed.end, figures)
    for column in CSV_HEADER:
        yield getattr(report, column)


def _span_values(form: ReportForm, observed: Observed, parts: list[Interval]) -> list[Any]:
    split = observed.microseconds if form.exact else observed.minutes
    found = [split(*part) for part in parts]
    up, down = (sum(getattr(window, side) for window in found) for side in ("up", "down"))
    times = [format_instant(parts[0][0]), format_instant(parts[-1][1])]
    return [*times, up / SECOND, down / SECOND] if form.exact else [*times, up, down]


def _row(
    values: list[Any], observed: Observed, parts: Iterable[Interval], polls: int | None = None
) -> FormRow:
    if polls is None:
        polls = sum(observed.polls_in(*part) for part in parts)
    return FormRow(values, polls, observed.coverage(parts))
