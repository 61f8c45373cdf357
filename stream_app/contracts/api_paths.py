"""Paths of the HTTP API that producers post to and dead letters name; the API's routes use them."""

from __future__ import annotations

from typing import Final

STATUS: Final = "/status"
"""Accepts polls of many stores."""

STORE_STATUS: Final = "/stores/{store_id}/status"
"""Accepts one poll of a store."""

STORE_HOURS: Final = "/stores/{store_id}/business_hours"
"""Accepts the business hours of a store."""

STORE_TIMEZONE: Final = "/stores/{store_id}/timezone"
"""Accepts the timezone of a store."""


def store_in(path: str, template: str) -> str | None:
    """Return the text at the place of the store id in a path; None if the template differs."""
    prefix, _, suffix = template.partition("{store_id}")
    if not (path.startswith(prefix) and path.endswith(suffix)):
        return None
    store = path[len(prefix) : len(path) - len(suffix)]
    return store if store and "/" not in store else None
