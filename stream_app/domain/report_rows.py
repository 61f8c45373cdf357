"""The rows of a report, built from the states of its stores."""

from __future__ import annotations

from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from stream_app.domain.local_days import local_days
from stream_app.domain.report import hours_of
from stream_app.domain.timestamps import MINUTE, SECOND, WEEK, format_instant
from stream_app.domain.windows import WINDOWS, microsecond_reading, minute_reading

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from pytz.tzinfo import BaseTzInfo

    from stream_app.domain.intervals import Interval
    from stream_app.domain.poll_sets import Integers
    from stream_app.domain.report_spec import ReportSpec
    from stream_app.domain.uptime import OpenTimeSplit, StoreStates
    from stream_app.domain.windows import Reading


class ReportRow(NamedTuple):
    """One row of a store's report.

    Attributes:
        values: the values in the order of the spec's columns.
        polls_counted: number of polls in its time; for the whole range also in the lookback.
        coverage: share of its open time that polls cover, 0 to 1; None if the store is never open.
        unknown: the part of each figure that no poll covers, in the order of `unknown_columns`.
    """

    values: list[Any]
    polls_counted: int
    coverage: float | None
    unknown: Sequence[float] = ()


def build_rows(
    spec: ReportSpec,
    store_ids: Sequence[str],
    states: StoreStates,
    timezones: Sequence[BaseTzInfo],
) -> list[list[ReportRow]]:
    """Build the rows of each store: one, or one for each local day.

    Args:
        spec: the figures.
        store_ids: for each store the first value of its rows.
        states: the states of the stores over the spec's span.
        timezones: for each store the timezone that defines its local days.
    """
    if spec.windows:
        return [[row] for row in _window_rows(spec, store_ids, states)]
    periods_of = {tz: _periods(spec, tz, states.start, states.end) for tz in set(timezones)}
    periods = [periods_of[tz] for tz in timezones]
    rows = _period_rows(spec, store_ids, states, periods)
    return [list(islice(rows, len(of_store))) for of_store in periods]


def _window_rows(
    spec: ReportSpec, store_ids: Sequence[str], states: StoreStates
) -> Iterator[ReportRow]:
    """Yield the row of each store with the three windows."""
    windows = states.last_windows(WINDOWS.values())
    exact = states.split(windows, microsecond_reading)
    split = exact if spec.exact else states.split(windows, minute_reading)
    figures = _window_columns(spec, split.up, split.down)
    unknown = _window_columns(spec, split.unknown_up, split.unknown_down)
    for store_id, values, polls, coverage, parts in zip(
        store_ids, figures, states.poll_counts(), exact[-1].coverage(), unknown, strict=True
    ):
        yield ReportRow([store_id, *values], polls, coverage, [*parts])


def _window_columns(spec: ReportSpec, up: Integers, down: Integers) -> Iterator[tuple[float, ...]]:
    """Return the values of each store, from rows with the amounts of its hour, day and week."""
    if spec.exact:
        columns = [(amount / SECOND).tolist() for amount in (*up, *down)]
    else:
        hours = _hours_by_minutes()
        columns = [
            column
            for hour, *longer in (up, down)
            for column in (hour.tolist(), *(hours[minutes].tolist() for minutes in longer))
        ]
    return zip(*columns, strict=True)


@cache
def _hours_by_minutes() -> NDArray[np.float64]:
    """Return, for each number of minutes of a week, the hours that a report shows."""
    return np.array([hours_of(minutes) for minutes in range(WEEK // MINUTE + 1)])


class _Period(NamedTuple):
    """The time of one row.

    Attributes:
        names: its values before the figures, besides the store.
        parts: its intervals, in order; more than one where the clock goes back over midnight.
    """

    names: list[str]
    parts: list[Interval]


def _periods(spec: ReportSpec, tz: BaseTzInfo, start: int, end: int) -> list[_Period]:
    """Return the rows of a store in a timezone: the whole range, or each of its local days."""
    days: list[tuple[list[str], list[Interval]]] = [([], [(start, end)])]
    if spec.daily:
        days = [([day.isoformat()], parts) for day, parts in local_days(tz, start, end).items()]
    return [
        _Period([*names, format_instant(parts[0][0]), format_instant(parts[-1][1])], parts)
        for names, parts in days
    ]


def _period_rows(
    spec: ReportSpec,
    store_ids: Sequence[str],
    states: StoreStates,
    periods: Sequence[Sequence[_Period]],
) -> Iterator[ReportRow]:
    """Yield the rows of all stores, one for each of their periods."""
    rows = [(number, period) for number, of_store in enumerate(periods) for period in of_store]
    if not rows:
        return
    parts = [(number, *part) for number, period in rows for part in period.parts]
    stores, starts, ends = np.array(parts, dtype=np.int64).T
    first_parts = np.cumsum([0, *(len(period.parts) for _, period in rows[:-1])])

    windows = states.windows(stores, starts, ends)

    def split(reading: Reading) -> OpenTimeSplit:
        return states.split(windows, reading)[0].added(first_parts)

    exact = split(microsecond_reading)
    amounts = exact if spec.exact else split(minute_reading)
    columns = (amounts.up, amounts.down, amounts.unknown_up, amounts.unknown_down)
    values = [(column / SECOND if spec.exact else column).tolist() for column in columns]
    polls = (
        np.add.reduceat(states.polls_in(stores, starts, ends), first_parts).tolist()
        if spec.daily
        else states.poll_counts()
    )
    for (number, period), count, coverage, up, down, unknown_up, unknown_down in zip(
        rows, polls, exact.coverage(), *values, strict=True
    ):
        yield ReportRow(
            [store_ids[number], *period.names, up, down],
            count,
            coverage,
            [unknown_up, unknown_down],
        )
