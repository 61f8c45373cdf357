"""Computes the figures of `tests.minute_walk` for many stores, without a step for each minute."""

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
    timezone: str | None,
    polls: Iterable[tuple[datetime, str]],
    reference: datetime,
    *,
    default_timezone: str = "America/Chicago",
) -> dict[str, int]:
    """Return the result of `tests.minute_walk.walk`, a hundred times as fast.

    A poll gives the status of the minutes from its instant to the next poll. The number of open
    minutes among them is the difference of two sums. The sums are computed once for all stores of
    the same hours, timezone and reference time.

    Args:
        hours: rows as in the file; a store without rows is always open.
        timezone: the name of the timezone; the default is used in place of None or an unknown name.
        polls: instants and statuses in any order.
        reference: the time at which the windows end.
        default_timezone: the timezone of stores that have none.
    """
    oldest = reference - timedelta(days=7) - _LOOKBACK
    known: dict[datetime, str] = {}
    for instant, status in polls:
        if oldest <= instant <= reference and known.get(instant) != "inactive":
            known[instant] = status
    sums = _open_minutes(
        timezone if timezone in pytz.all_timezones_set else default_timezone,
        tuple(hours),
        reference,
    )
    instants = sorted(known)
    # the minutes from each poll to the reference time, the newest poll last
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
def _open_minutes(timezone: str, hours: tuple[Any, ...], reference: datetime) -> list[int]:
    """Return sums: item N is how many of the N minutes before the reference time are open."""
    opening = [(day, _time_of_day(start), _time_of_day(end)) for day, start, end in hours]
    minutes = _minutes_back(timezone, reference)
    is_open = (_is_open(opening, day, clock) for _, day, clock in minutes)
    return list(accumulate(is_open, initial=0))
