"""The time that a store was up and down during its business hours."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stream_app.domain.business_hours import open_intervals
from stream_app.domain.intervals import clip, intersect, total
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
    from collections.abc import Iterable

    from pytz.tzinfo import BaseTzInfo

    from stream_app.domain.business_hours import WeeklyHours
    from stream_app.domain.intervals import Interval


@dataclass(frozen=True, slots=True)
class UpDown:
    """The open time of one window, split by status; the sum is the open time."""

    up: int
    down: int


Count = Callable[[int, int], UpDown]
"""Counts the open time in `[start, end)`, in minutes or in microseconds."""


@dataclass(frozen=True, slots=True)
class WindowTotals:
    """The open time of the three windows before a reference time.

    Attributes:
        hour: the last hour.
        day: the last 24 hours.
        week: the last 7 days.
    """

    hour: UpDown
    day: UpDown
    week: UpDown


@dataclass(frozen=True, slots=True)
class StoreObservation:
    """The state of a store over a span of time; all intervals are sorted, disjoint, in µs.

    Attributes:
        start: start of the span.
        end: end of the span, from which the grid of minutes is counted back.
        opened: business hours.
        active: the time in which the newest poll so far, or else the default status, is active.
        up: open and active.
        covered: the time in which the newest poll is recent enough; see `covered_intervals`.
        covered_open: open and covered.
        covered_up: open, active and covered.
        polls: the polls that count: in the span and in the lookback before it.
    """

    start: int
    end: int
    opened: list[Interval]
    active: list[Interval]
    up: list[Interval]
    covered: list[Interval]
    covered_open: list[Interval]
    covered_up: list[Interval]
    polls: array[int]

    def minutes(self, start: int, end: int) -> UpDown:
        """Count a window in whole minutes, on the grid that is counted back from the span's end."""
        return self._split(start, end, grid_minutes, self.up, self.opened)

    def microseconds(self, start: int, end: int) -> UpDown:
        """Count a window in microseconds, without the grid."""
        return self._split(start, end, exact_microseconds, self.up, self.opened)

    def unknown_minutes(self, start: int, end: int) -> UpDown:
        """Count the part of `minutes` that no poll covers."""
        return self._unknown(start, end, grid_minutes)

    def unknown_microseconds(self, start: int, end: int) -> UpDown:
        """Count the part of `microseconds` that no poll covers."""
        return self._unknown(start, end, exact_microseconds)

    def coverage(self, parts: Iterable[Interval]) -> float | None:
        """Return the share of some intervals' open time that polls cover, 0 to 1, six decimals.

        Returns:
            None where the store is never open in them.
        """
        parts = list(parts)
        time = total(intersect(self.opened, parts))
        return round(total(intersect(self.covered_open, parts)) / time, 6) if time else None

    def polls_in(self, start: int, end: int) -> int:
        """Return the number of polls in `[start, end)`."""
        return bisect_left(self.polls, end << 1) - bisect_left(self.polls, start << 1)

    def _unknown(self, start: int, end: int, count: Callable[[int, int, int], int]) -> UpDown:
        counted = self._split(start, end, count, self.up, self.opened)
        covered = self._split(start, end, count, self.covered_up, self.covered_open)
        return UpDown(counted.up - covered.up, counted.down - covered.down)

    def _split(
        self,
        start: int,
        end: int,
        count: Callable[[int, int, int], int],
        up: list[Interval],
        opened: list[Interval],
    ) -> UpDown:
        uptime = _time_within(start, end, up, self.end, count)
        return UpDown(uptime, _time_within(start, end, opened, self.end, count) - uptime)


def observe(
    hours: WeeklyHours,
    tz: BaseTzInfo,
    polls: array[int],
    start: int,
    end: int,
    *,
    lookback: int,
    default_active: bool,
    stale_after: int,
) -> StoreObservation:
    """Compute the state of a store over `[start, end)` from its facts.

    Args:
        hours: business hours on the store's local clock.
        tz: the timezone of that clock.
        polls: a set as `polls.poll_set` packs it; polls after the end change nothing.
        start: in µs.
        end: in µs.
        lookback: how long before the start a poll still counts, in µs.
        default_active: the status before the first poll.
        stale_after: how long a poll covers the time after it, in µs.
    """
    counted = between(polls, start - lookback, end)
    opened = open_intervals(hours, tz, start, end)
    active = active_intervals(counted, start, end, default_active=default_active)
    up = intersect(opened, active)
    covered = covered_intervals(counted, start, end, stale_after)
    return StoreObservation(
        start=start,
        end=end,
        opened=opened,
        active=active,
        up=up,
        covered=covered,
        covered_open=intersect(opened, covered),
        covered_up=intersect(up, covered),
        polls=counted,
    )


def window_totals(count: Count, end: int) -> WindowTotals:
    """Count the three windows that end at the end of a span, which is at least a week long.

    Args:
        count: a method of the span's `StoreObservation`; the totals have its unit: `minutes` or
            `unknown_minutes`, `microseconds` or `unknown_microseconds`.
        end: the end of the span, µs.
    """
    return WindowTotals(
        hour=count(end - HOUR_WINDOW, end),
        day=count(end - DAY_WINDOW, end),
        week=count(end - WEEK_WINDOW, end),
    )


def active_intervals(
    polls: array[int], start: int, end: int, *, default_active: bool
) -> list[Interval]:
    """Return the parts of `[start, end)` in which the newest poll so far is active.

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
    intervals: list[Interval] = []
    for poll in polls[later : bisect_left(polls, end << 1)]:
        if poll & 1:
            if not active:
                active = True
                since = poll >> 1
        elif active:
            active = False
            intervals.append((since, poll >> 1))
    if active and since < end:
        intervals.append((since, end))
    return intervals


def covered_intervals(polls: array[int], start: int, end: int, stale_after: int) -> list[Interval]:
    """Return the parts of `[start, end)` that are less than `stale_after` later than some poll."""
    if not polls:
        return []
    intervals = []
    last = since = polls[0] >> 1
    for poll in polls:
        instant = poll >> 1
        if instant - last > stale_after:
            intervals.append((since, last + stale_after))
            since = instant
        last = instant
    intervals.append((since, last + stale_after))
    return clip(intervals, start, end)


def _time_within(
    start: int,
    end: int,
    intervals: list[Interval],
    reference: int,
    count: Callable[[int, int, int], int],
) -> int:
    amount = 0
    # from the end: most windows end there, and a short one reads the last few intervals only
    for index in range(bisect_left(intervals, (end,)) - 1, -1, -1):
        first, last = intervals[index]
        if last <= start:
            break
        amount += count(first if first > start else start, last if last < end else end, reference)
    return amount
