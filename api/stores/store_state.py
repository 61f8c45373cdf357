"""The state of one store from a worker's answer, which includes all acknowledged polls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from api.fleet.state import StoreState, figures_in, opening
from stream_app.contracts.fields import parse_status
from stream_app.domain.timestamps import parse_instant
from stream_app.domain.timezones import find_timezone
from stream_app.durations import parse_duration
from stream_app.errors import ReportError

if TYPE_CHECKING:
    from api.fleet.state import State


def store_from(content: dict[str, Any], now: int) -> StoreState:
    """Return the store at an instant.

    Args:
        content: the report of a store with the three windows and its newest poll.
        now: the instant, µs.

    Raises:
        ReportError: the API does not know its timezone, since its timezone data is older.
    """
    tz = find_timezone(content["timezone"])
    if tz is None:
        raise ReportError(f"the API knows no timezone {content['timezone']!r}: its tables are old")
    is_open, opening_changes_at = opening(content["business_hours"] or (), tz, now)
    poll = content["last_poll"]
    polled_at = None if poll is None else parse_instant(poll["timestamp_utc"])
    active = poll is not None and parse_status(poll["status"])
    state: State = "up" if active else "down"
    if not is_open:
        state = "closed"
    elif polled_at is None or polled_at <= now - parse_duration(content["stale_after"]):
        state = "unknown"
    return StoreState(
        store_id=content["store_id"],
        state=state,
        timezone=content["timezone"],
        polled_at=polled_at,
        active=active,
        opening_changes_at=opening_changes_at,
        figures=figures_in(content),
    )
