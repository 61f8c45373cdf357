"""The local days of a store, as intervals of instants."""

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
    """Split `[start, end)` into the days on a timezone's clock.

    A day has 23 or 25 hours where the clock changes. It has two intervals where the clock goes
    back over midnight, and it is missing where the timezone skipped it.

    Returns:
        the intervals of each day, in order, in µs; sorted and disjoint.
    """
    intervals: dict[int, list[Interval]] = {}
    for first, last, offset in constant_offset_segments(tz, start, end):
        for day in range((first + offset) // DAY, (last - 1 + offset) // DAY + 1):
            midnight = day * DAY - offset
            part = (max(first, midnight), min(last, midnight + DAY))
            intervals.setdefault(day, []).append(part)
    return {date.fromordinal(_EPOCH_DAY + day): union(intervals[day]) for day in sorted(intervals)}


def is_whole_day(tz: BaseTzInfo, day: date, start: int, end: int) -> bool:
    """Return True where `[start, end)` contains the whole of a local day, 23 to 25 hours long."""
    parts = local_days(tz, start - 2 * DAY, end + 2 * DAY).get(day)
    return parts is not None and start <= parts[0][0] and parts[-1][1] <= end
