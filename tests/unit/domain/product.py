"""The product's own way from raw facts to figures, for the tests of this folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytz import UTC

from stream_app.domain.business_hours import WeeklyHours
from stream_app.domain.polls import poll_set
from stream_app.domain.report_spec import ReportSpec, build_rows
from stream_app.domain.timestamps import HOUR, WEEK
from stream_app.domain.timezones import resolve_timezone
from stream_app.domain.uptime import StoreObservation, WindowTotals, observe, window_totals

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.strategies import Case, Poll, Row


def observation(
    rows: Iterable[Row],
    timezone_name: str | None,
    polls: Iterable[Poll],
    reference: int,
    default_active: bool = False,
    *,
    lookback: int = HOUR,
) -> StoreObservation:
    """The state of a store over the week before the reference time."""
    return observe(
        WeeklyHours.from_rows(rows),
        resolve_timezone(timezone_name, "America/Chicago"),
        poll_set(polls),
        reference - WEEK,
        reference,
        lookback=lookback,
        default_active=default_active,
        stale_after=HOUR,
    )


def figures(
    rows: Iterable[Row],
    timezone_name: str | None,
    polls: Iterable[Poll],
    reference: int,
    default_active: bool = False,
    *,
    exactly: bool = False,
) -> WindowTotals:
    week = observation(rows, timezone_name, polls, reference, default_active)
    return window_totals(week.microseconds if exactly else week.minutes, week.end)


def public_row(observed: StoreObservation, store_id: str) -> list[Any]:
    """The values of the store's row in the CSV."""
    (row,) = build_rows(ReportSpec(), store_id, observed, UTC)
    return row.values


def by_column(found: WindowTotals) -> dict[str, int]:
    """The counts under the CSV's column names."""
    return {
        f"{kind}_last_{window}": getattr(getattr(found, window), side)
        for kind, side in (("uptime", "up"), ("downtime", "down"))
        for window in ("hour", "day", "week")
    }


def observed_of(case: Case, span: int = WEEK, *, stale_after: int = 2 * HOUR) -> StoreObservation:
    """What is known of a case over the span before its reference time."""
    return observe(
        WeeklyHours.from_rows(case.rows),
        resolve_timezone(case.timezone_name, "America/Chicago"),
        poll_set(case.polls),
        case.reference - span,
        case.reference,
        lookback=HOUR,
        default_active=case.default_active,
        stale_after=stale_after,
    )
