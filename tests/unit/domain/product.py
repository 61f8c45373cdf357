"""The product's own way from raw facts to figures, for the tests of this folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_app.domain.business_hours import WeeklyHours
from stream_app.domain.polls import poll_set
from stream_app.domain.timestamps import HOUR, WEEK
from stream_app.domain.timezones import zone
from stream_app.domain.uptime import StoreObservation, WindowTotals, observe, window_totals

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.strategies import Case, Poll, Row


def figures(
    rows: Iterable[Row],
    zone_name: str | None,
    polls: Iterable[Poll],
    reference: int,
    default_active: bool = False,
    *,
    lookback: int = HOUR,
    exactly: bool = False,
) -> WindowTotals:
    observed = observe(
        WeeklyHours.from_rows(rows),
        zone(zone_name, "America/Chicago"),
        poll_set(polls),
        reference - WEEK,
        reference,
        lookback=lookback,
        default_active=default_active,
        stale_after=HOUR,
    )
    return window_totals(observed, exactly=exactly)


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
        zone(case.zone_name, "America/Chicago"),
        poll_set(case.polls),
        case.reference - span,
        case.reference,
        lookback=HOUR,
        default_active=case.default_active,
        stale_after=stale_after,
    )
