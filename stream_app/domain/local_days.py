"""The local days of a store, as instants."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from stream_app.domain.intervals import union
from stream_app.domain.timestamps import DAY
from stream_app.domain.timezones import constant_offset_segments

if TYPE_CHECKING:
    from pytz.tzinfo import BaseTzInfo

    from stream_app.domain.intervals import Interval

_EPOCH_DAY = date(1970, 1, 1).toordinal()


def local_days(tz: BaseTzInfo, start: int, end: int) -> dict[date, list[Interval]]:
    """The days on the zone's clock that `[start, end)` touches, and which part of it each is.

    A day is 23 or 25 hours long where the clock changes, in two pieces where it changes back over
    midnight, and not there where a zone has left it out.

    Returns:
        by day, in order: intervals in µs, sorted and disjoint.
    """
    found: dict[int, list[Interval]] = {}
    for first, last, offset in constant_offset_segments(tz, start, end):
        for day in range((first + offset) // DAY, (last - 1 + offset) // DAY + 1):
            midnight = day * DAY - offset
            part = (max(first, midnight), min(last, midnight + DAY))
            found.setdefault(day, []).append(part)
    return {date.fromordinal(_EPOCH_DAY + day): union(found[day]) for day in sorted(found)}


def is_whole_day(tz: BaseTzInfo, day: date, start: int, end: int) -> bool:
    """Whether `[start, end)` reaches over all of a local day, however long that one is."""
    parts = local_days(tz, start - 2 * DAY, end + 2 * DAY).get(day)
    return parts is not None and start <= parts[0][0] and parts[-1][1] <= end
