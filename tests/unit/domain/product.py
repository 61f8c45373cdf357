"""Computes reports from a store's facts with the product's functions, for the tests beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from pytz import UTC

from stream_app.domain.business_hours import WeeklyHours
from stream_app.domain.observation import StoreObservation, observe
from stream_app.domain.polls import poll_set
from stream_app.domain.report_rows import ReportRow, build_rows
from stream_app.domain.report_spec import ReportSpec
from stream_app.domain.store_facts import PollRules, StoreFacts
from stream_app.domain.timestamps import DAY, HOUR, WEEK
from stream_app.domain.timezones import resolve_timezone
from stream_app.domain.windows import microsecond_reading, minute_reading
from tests.store_rows import rows_of, states_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stream_app.domain.uptime import OpenTimeSplit, StoreStates
    from tests.strategies import Case, Poll, Row


class UpDown(NamedTuple):
    """The open time of one window, split by status."""

    up: int
    down: int


class WindowTotals(NamedTuple):
    """The open time of the three windows."""

    hour: UpDown
    day: UpDown
    week: UpDown


def facts_of(rows: Iterable[Row], timezone_name: str | None, polls: Iterable[Poll]) -> StoreFacts:
    tz = resolve_timezone(timezone_name, "America/Chicago")
    return StoreFacts(WeeklyHours.from_rows(rows), tz, poll_set(polls))


def facts_in(case: Case) -> StoreFacts:
    return facts_of(case.rows, case.timezone_name, case.polls)


def week_of(
    rows: Iterable[Row],
    timezone_name: str | None,
    polls: Iterable[Poll],
    reference: int,
    default_active: bool = False,
    *,
    lookback: int = HOUR,
) -> StoreStates:
    """Return the states of a store over the week before the reference time."""
    rules = PollRules(lookback, default_active, stale_after=HOUR)
    return states_of(facts_of(rows, timezone_name, polls), reference - WEEK, reference, rules)


def split_of(states: StoreStates, start: int, end: int, *, exactly: bool) -> OpenTimeSplit:
    window = states.windows(np.array([0]), np.array([start]), np.array([end]))
    return states.split(window, microsecond_reading if exactly else minute_reading)[0]


def split(states: StoreStates, start: int, end: int, *, exactly: bool = False) -> UpDown:
    """Return the open time of one store in `[start, end)`, split by status."""
    open_time = split_of(states, start, end, exactly=exactly)
    return UpDown(int(open_time.up[0]), int(open_time.down[0]))


def unknown(states: StoreStates, start: int, end: int, *, exactly: bool = False) -> UpDown:
    """Return the part of the open time in `[start, end)` that no poll covers, split by status."""
    open_time = split_of(states, start, end, exactly=exactly)
    return UpDown(int(open_time.unknown_up[0]), int(open_time.unknown_down[0]))


def figures(
    rows: Iterable[Row],
    timezone_name: str | None,
    polls: Iterable[Poll],
    reference: int,
    default_active: bool = False,
    *,
    exactly: bool = False,
) -> WindowTotals:
    week = week_of(rows, timezone_name, polls, reference, default_active)
    return WindowTotals(
        *(
            split(week, reference - length, reference, exactly=exactly)
            for length in (HOUR, DAY, WEEK)
        )
    )


def public_row(states: StoreStates, store_id: str) -> list[Any]:
    """Return the values of the store's row in the CSV."""
    (((values, *_),),) = build_rows(ReportSpec(), [store_id], states, [UTC])
    return values


def by_column(totals: WindowTotals) -> dict[str, int]:
    """Return the counts under the CSV's column names."""
    return {
        f"{kind}_last_{window}": getattr(getattr(totals, window), side)
        for kind, side in (("uptime", "up"), ("downtime", "down"))
        for window in ("hour", "day", "week")
    }


def rules_in(case: Case, stale_after: int = 2 * HOUR) -> PollRules:
    return PollRules(HOUR, case.default_active, stale_after)


def report_of(case: Case, spec: ReportSpec, *, stale_after: int = 2 * HOUR) -> list[ReportRow]:
    """Return the rows of the case's store, named a."""
    return rows_of(spec, "a", facts_in(case), case.reference, rules_in(case, stale_after))


def states_in(case: Case, span: int = WEEK, *, stale_after: int = 2 * HOUR) -> StoreStates:
    """Return the states of a case over the span before its reference time."""
    rules = rules_in(case, stale_after)
    return states_of(facts_in(case), case.reference - span, case.reference, rules)


def observed_of(case: Case, span: int = WEEK, *, stale_after: int = 2 * HOUR) -> StoreObservation:
    """Return the observation of a case over the span before its reference time."""
    rules = rules_in(case, stale_after)
    return observe(facts_in(case), case.reference - span, case.reference, rules)
