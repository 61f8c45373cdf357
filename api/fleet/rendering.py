"""Instants and polls of stores as answers have them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_app.contracts.fields import status_name
from stream_app.domain.timestamps import format_instant, to_datetime
from stream_app.domain.timezones import find_timezone

if TYPE_CHECKING:
    from api.fleet.state import StoreState


def instant_text(instant: int | None) -> str | None:
    """Return an instant as ISO 8601, or None where there is none."""
    return None if instant is None else format_instant(instant)


def last_poll(store: StoreState) -> dict[str, str] | None:
    """Return the newest poll of a store, or None where there is none."""
    if store.polled_at is None:
        return None
    return {"status": status_name(store.active), "timestamp_utc": format_instant(store.polled_at)}


def local_time(timezone: str, now: int | None) -> str | None:
    """Return what a store's clock shows, as ISO 8601 with its offset, to the second."""
    tz = find_timezone(timezone)
    if now is None or tz is None:
        return None
    return to_datetime(now).astimezone(tz).isoformat(timespec="seconds")
