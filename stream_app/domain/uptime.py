"""How long a store was up and down during its business hours."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stream_app.domain.hours import open_intervals
from stream_app.domain.instants import MINUTE
from stream_app.domain.intervals import intersect
from stream_app.domain.polls import between
from stream_app.domain.windows import (
    DAY_WINDOW,
    HOUR_WINDOW,
    WEEK_WINDOW,
    exact_microseconds,
    grid_minutes,
)

if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable

    from pytz.tzinfo import BaseTzInfo

    from stream_app.domain.hours import WeeklyHours
    from stream_app.domain.intervals import Interval


@dataclass(frozen=True, slots=True)
class UpDown:
    """The open time of one window, split by status; the sum is the open time."""

    up: int
    down: int


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured before one reference time.

    Attributes:
        hour: the last hour.
        day: the last 24 hours.
        week: the last 7 days.
        unit: µs that each count stands for: MINUTE on the minute grid, 1 without it.
        polls_counted: polls in `[reference - 7 d - lookback, reference]`.
    """

    hour: UpDown
    day: UpDown
    week: UpDown
    unit: int
    polls_counted: int


def measure(
    hours: WeeklyHours,
    tz: BaseTzInfo,
    polls: array[int],
    reference: int,
    *,
    lookback: int,
    default_active: bool,
) -> Figures:
    """Count whole minutes back from the reference time.

    Args:
        hours: when the store is open, on its local clock.
        tz: the zone of that clock.
        polls: a set as `polls.poll_set` packs it; those after the reference time change nothing.
        reference: where all windows end, in µs.
        lookback: how long before the oldest window a poll still counts, in µs.
        default_active: the status where no poll tells.

    Returns:
        figures in minutes.
    """
    return _measure(hours, tz, polls, reference, lookback, default_active, grid_minutes, MINUTE)


def measure_exactly(
    hours: WeeklyHours,
    tz: BaseTzInfo,
    polls: array[int],
    reference: int,
    *,
    lookback: int,
    default_active: bool,
) -> Figures:
    """Like `measure`, in microseconds and without the minute grid."""
    return _measure(hours, tz, polls, reference, lookback, default_active, exact_microseconds, 1)


def _measure(
    hours: WeeklyHours,
    tz: BaseTzInfo,
    polls: array[int],
    reference: int,
    lookback: int,
    default_active: bool,
    count: Callable[[int, int, int], int],
    unit: int,
) -> Figures:
    start = reference - WEEK_WINDOW
    counted = between(polls, start - lookback, reference)
    opened = open_intervals(hours, tz, start, reference)
    up = intersect(
        opened, active_intervals(counted, start, reference, default_active=default_active)
    )

    def split(window: int) -> UpDown:
        since = reference - window
        up_time = _time_since(since, up, reference, count)
        return UpDown(up_time, _time_since(since, opened, reference, count) - up_time)

    return Figures(
        hour=split(HOUR_WINDOW),
        day=split(DAY_WINDOW),
        week=split(WEEK_WINDOW),
        unit=unit,
        polls_counted=len(counted),
    )


def active_intervals(
    polls: array[int], start: int, end: int, *, default_active: bool
) -> list[Interval]:
    """The parts of `[start, end)` at which the newest poll at or before says active.

    Args:
        polls: a set as `polls.poll_set` packs it.
        start: in µs.
        end: in µs; polls from here on change nothing.
        default_active: the status before the first poll.

    Returns:
        runs of equal status joined: intervals in µs, sorted, disjoint, none touching.
    """
    later = bisect_right(polls, start << 1 | 1)
    active = bool(polls[later - 1] & 1) if later else default_active
    since = start
    found: list[Interval] = []
    for poll in polls[later : bisect_left(polls, end << 1)]:
        if poll & 1:
            if not active:
                active = True
                since = poll >> 1
        elif active:
            active = False
            found.append((since, poll >> 1))
    if active and since < end:
        found.append((since, end))
    return found


def _time_since(
    since: int, intervals: list[Interval], reference: int, count: Callable[[int, int, int], int]
) -> int:
    amount = 0
    for start, end in reversed(intervals):
        if end <= since:
            break  # windows are nested: a short one reads the last few intervals only
        amount += count(start if start > since else since, end, reference)
    return amount
