"""The figures of many stores: the minutes of `tests.minute_walk`, counted and not walked."""

from __future__ import annotations

from datetime import timedelta
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import pytz

from tests.minute_walk import COLUMNS, WINDOWS, _is_open, _minutes_back, _time_of_day

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from tests.faults.stores import Hours

_WEEK = WINDOWS["week"]
_MINUTE = timedelta(minutes=1)
_LOOKBACK = timedelta(hours=1)


def count(
    hours: Hours,
    zone: str | None,
    polls: Iterable[tuple[datetime, str]],
    reference: datetime,
    *,
    default_timezone: str = "America/Chicago",
) -> dict[str, int]:
    """What `tests.minute_walk.walk` gives, a hundred times as fast for stores that share hours.

    A poll speaks for the minutes from its instant to the next poll. How many of these are open is
    the difference of two sums, which all stores of the same hours, zone and reference time share.

    Args:
        hours: rows as in the file; none: always open.
        zone: its name; None or unknown: the default zone.
        polls: instants and statuses in any order.
        reference: the time that the windows end at.
        default_timezone: the zone of stores without one.
    """
    oldest = reference - timedelta(days=7) - _LOOKBACK
    known: dict[datetime, str] = {}
    for instant, status in polls:
        if oldest <= instant <= reference and known.get(instant) != "inactive":
            known[instant] = status
    sums = _open_minutes(
        zone if zone in pytz.all_timezones_set else default_timezone, tuple(hours), reference
    )
    instants = sorted(known)
    # how many minutes back from the reference time each poll is, the newest poll last
    backs = [min((reference - instant) // _MINUTE, _WEEK) for instant in instants] + [0]
    minutes = dict.fromkeys(COLUMNS, 0)
    for window, length in WINDOWS.items():
        up = sum(
            sums[min(backs[number], length)] - sums[min(backs[number + 1], length)]
            for number, instant in enumerate(instants)
            if known[instant] == "active"
        )
        minutes[f"uptime_last_{window}"] = up
        minutes[f"downtime_last_{window}"] = sums[length] - up
    return minutes


@lru_cache(maxsize=1024)
def _open_minutes(zone: str, hours: tuple[Any, ...], reference: datetime) -> list[int]:
    """By a number of minutes: how many of so many minutes before the reference time are open."""
    opening = [(day, _time_of_day(start), _time_of_day(end)) for day, start, end in hours]
    minutes = _minutes_back(zone, reference)
    is_open = (_is_open(opening, day, clock) for _, day, clock in minutes)
    return list(accumulate(is_open, initial=0))
