"""The rows of a report, built from the states of its stores."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from stream_app.domain.local_days import local_days
from stream_app.domain.report import hours_of
from stream_app.domain.timestamps import MINUTE, SECOND, WEEK, format_instant
from stream_app.domain.windows import WINDOWS, microsecond_reading, minute_reading

if TYPE_CHECKING:
    from collections.abc import Sequence

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
        polls_counted: number of polls in its time; a row of the whole range also counts those in
            the lookback.
        coverage: share of its open time that polls cover, 0 to 1; None if the store is never open.
        unknown: the part of each figure that no poll covers, in the order of `unknown_columns`.
    """

    values: list[Any]
    polls_counted: int
    coverage: float | None
    unknown: Sequence[float] = ()


class ReportColumns(NamedTuple):
    """The rows of many stores by columns: lists of as many values as there are rows.

    Attributes:
        stores: for each row the number of its store; the rows of a store follow each other.
        values: in the order of the spec's columns.
        polls_counted: see `ReportRow`.
        coverage: see `ReportRow`.
        unknown: in the order of the spec's `unknown_columns`.
    """

    stores: Sequence[int]
    values: Sequence[Sequence[Any]]
    polls_counted: Sequence[int]
    coverage: Sequence[float | None]
    unknown: Sequence[Sequence[float]]


def build_rows(
    spec: ReportSpec,
    store_ids: Sequence[str],
    states: StoreStates,
    timezones: Sequence[BaseTzInfo],
) -> list[list[ReportRow]]:
    """Build the rows of each store: one, or one for each local day; see `build_columns`."""
    columns = build_columns(spec, store_ids, states, timezones)
    rows: list[list[ReportRow]] = [[] for _ in store_ids]
    for store, values, polls, coverage, unknown in zip(
        columns.stores,
        zip(*columns.values, strict=True),
        columns.polls_counted,
        columns.coverage,
        zip(*columns.unknown, strict=True),
        strict=True,
    ):
        rows[store].append(ReportRow([*values], polls, coverage, [*unknown]))
    return rows


def build_columns(
    spec: ReportSpec,
    store_ids: Sequence[str],
    states: StoreStates,
    timezones: Sequence[BaseTzInfo],
) -> ReportColumns:
    """Build the columns of the rows of all stores: one row each, or one for each local day.

    Args:
        spec: the figures.
        store_ids: for each store the first value of its rows.
        states: the states of the stores over the spec's span.
        timezones: for each store the timezone that defines its local days.
    """
    if spec.windows:
        return _window_columns(spec, store_ids, states)
    periods_of = {tz: _periods(spec, tz, states.start, states.end) for tz in set(timezones)}
    return _period_columns(spec, store_ids, states, [periods_of[tz] for tz in timezones])


def _window_columns(
    spec: ReportSpec, store_ids: Sequence[str], states: StoreStates
) -> ReportColumns:
    """Build the columns of one row of each store, with the three windows."""
    windows = states.last_windows(WINDOWS.values())
    exact = states.split(windows, microsecond_reading)
    split = exact if spec.exact else states.split(windows, minute_reading)
    return ReportColumns(
        range(len(store_ids)),
        [store_ids, *_shown_windows(spec, split.up, split.down)],
        states.poll_counts(),
        exact[-1].coverage(),
        _shown_windows(spec, split.unknown_up, split.unknown_down),
    )


def _shown_windows(spec: ReportSpec, up: Integers, down: Integers) -> list[list[float]]:
    """Return the columns of the time up and down in the three windows, as reports show them."""
    if spec.exact:
        return [(amount / SECOND).tolist() for amount in (*up, *down)]
    hours = _hours_by_minutes()
    return [
        column
        for hour, *longer in (up, down)
        for column in (hour.tolist(), *(hours[minutes].tolist() for minutes in longer))
    ]


@cache
def _hours_by_minutes() -> NDArray[np.float64]:
    """Return, for each number of minutes of a week, the hours that a report shows."""
    return np.array([hours_of(minutes) for minutes in range(WEEK // MINUTE + 1)])


class _Period(NamedTuple):
    """The time of one row.

    Attributes:
        names: the values of the row between the store and the figures.
        parts: its intervals, in order; more than one where the clock goes back over midnight.
    """

    names: list[str]
    parts: list[Interval]


def _periods(spec: ReportSpec, tz: BaseTzInfo, start: int, end: int) -> list[_Period]:
    """Return the periods of stores in a timezone: the whole range, or each of its local days."""
    days: list[tuple[list[str], list[Interval]]] = [([], [(start, end)])]
    if spec.daily:
        days = [([day.isoformat()], parts) for day, parts in local_days(tz, start, end).items()]
    return [
        _Period([*names, format_instant(parts[0][0]), format_instant(parts[-1][1])], parts)
        for names, parts in days
    ]


def _period_columns(
    spec: ReportSpec,
    store_ids: Sequence[str],
    states: StoreStates,
    periods: Sequence[Sequence[_Period]],
) -> ReportColumns:
    """Build the columns of the rows of all stores, one row for each of their periods."""
    rows = [(number, period) for number, of_store in enumerate(periods) for period in of_store]
    parts = [(number, *part) for number, period in rows for part in period.parts]
    stores, starts, ends = np.array(parts, dtype=np.int64).T
    first_parts = np.cumsum([0, *(len(period.parts) for _, period in rows[:-1])])

    windows = states.windows(stores, starts, ends)

    def split(reading: Reading) -> OpenTimeSplit:
        return states.split(windows, reading)[0].added(first_parts)

    exact = split(microsecond_reading)
    amounts = exact if spec.exact else split(minute_reading)
    up, down, *unknown = (
        (amount / SECOND if spec.exact else amount).tolist()
        for amount in (amounts.up, amounts.down, amounts.unknown_up, amounts.unknown_down)
    )
    names = zip(*(period.names for _, period in rows), strict=True)
    return ReportColumns(
        [number for number, _ in rows],
        [[store_ids[number] for number, _ in rows], *names, up, down],
        np.add.reduceat(states.polls_in(stores, starts, ends), first_parts).tolist()
        if spec.daily
        else states.poll_counts(),
        exact.coverage(),
        unknown,
    )
