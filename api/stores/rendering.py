"""Facts of a store, and pages of store ids, as answers have them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from stream_app.contracts.fields import shown
from stream_app.domain.timezones import find_timezone, resolve_timezone

if TYPE_CHECKING:
    from api.stores.service import StorePage
    from stream_app.contracts.business_hours import BusinessHours


def hours_fields(hours: BusinessHours) -> dict[str, Any]:
    """Return business hours, with a warning if some of their rows open nothing."""
    fields: dict[str, Any] = {"business_hours": hours.rows or None}
    never_open = hours.weekly.never_open_rows
    if never_open:
        fields["warning"] = (
            f"{len(never_open)} rows start when they end and open nothing: {shown(never_open)}"
        )
    return fields


def timezone_fields(timezone: str | None, default: str) -> dict[str, str | None]:
    """Return a timezone as it was sent, and the one that applies; a warning says if they differ.

    Args:
        timezone: the timezone as it was sent; None if none was sent.
        default: the timezone that applies if that one is unknown.
    """
    fields = {
        "timezone_str": timezone or None,
        "timezone": str(resolve_timezone(timezone, default)),
    }
    if timezone is not None and find_timezone(timezone) is None:
        fields["warning"] = f"{shown(timezone)} is not an IANA timezone: {default} applies"
    return fields


def page_content(page: StorePage, prefix: str, limit: int) -> dict[str, Any]:
    """Return a page of store ids, with the address of the next page if there is one.

    Args:
        page: the page.
        prefix: the beginning of every id, as the request named it; empty if it named none.
        limit: the largest number of ids on a page.
    """
    following = None
    if page.has_more:
        query = {"prefix": prefix} if prefix else {}
        following = "/stores?" + urlencode({**query, "limit": limit, "after": page.store_ids[-1]})
    return {"store_ids": page.store_ids, "next": following}
