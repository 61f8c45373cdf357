"""UTC offsets of a timezone, so that no client needs tables of timezones of its own."""

from __future__ import annotations

from typing import Any

from stream_app.domain.timestamps import SECOND, format_instant
from stream_app.domain.timezones import constant_offset_segments, find_timezone


def utc_offsets(timezone: str, *instants: int | None) -> list[dict[str, Any]]:
    """Return the UTC offsets of a timezone between the earliest and the latest of some instants.

    Args:
        timezone: an IANA name.
        instants: some instants, µs; None is ignored.

    Returns:
        in order, each offset in seconds and the instant from which on it holds; empty if the
        timezone is unknown, or all instants are None.
    """
    tz = find_timezone(timezone)
    known = [instant for instant in instants if instant is not None]
    if tz is None or not known:
        return []
    offsets: list[dict[str, Any]] = []
    for start, _, offset in constant_offset_segments(tz, min(known), max(known) + 1):
        seconds = offset // SECOND
        if not offsets or offsets[-1]["offset_seconds"] != seconds:
            offsets.append({"start": format_instant(start), "offset_seconds": seconds})
    return offsets
