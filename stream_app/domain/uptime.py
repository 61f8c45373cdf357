"""How long a store was up and down during its business hours."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stream_app.domain.business_hours import open_intervals
from stream_app.domain.intervals import clip, intersect, total
from stream_app.domain.polls import between
from stream_app.domain.timestamps import MINUTE
from stream_app.domain.windows import (
    DAY_WINDOW,
    HOUR_WINDOW,
    WEEK_WINDOW,
    exact_microseconds,
    grid_minutes,
)

if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable, Iterable

    from pytz.tzinfo import BaseTzInfo

    from stream_app.domain.business_hours import WeeklyHours
    from stream_app.domain.intervals import Interval


@dataclass(frozen=True, slots=True)
class UpDown:
    """The open time of one window, split by status; the sum is the open time."""

    up: int
    down: int


@dataclass(frozen=True, slots=True)
class WindowTotals:
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


@dataclass(frozen=True, slots=True)
class StoreObservation:
    """What is known of a store over a span of time; all intervals sorted, disjoint, in µs.

    Attributes:
        start: of the span.
        end: of the span, and where the grid of minutes is counted back from.
        opened: business hours.
        active: where the newest poll at or before, or else the default, says active.
        up: open and active.
        covered: where a poll is recent enough to speak for the store; see `covered_intervals`.
        covered_open: open and covered.
        covered_up: open, active and covered.
        polls: those that count: in the span and the lookback before it.
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
        """Whole minutes of a window, on the grid that is counted back from the span's end."""
        return self._split(start, end, grid_minutes, self.up, self.opened)

    def microseconds(self, start: int, end: int) -> UpDown:
        """The same without the grid."""
        return self._split(start, end, exact_microseconds, self.up, self.opened)

    def unknown_minutes(self, start: int, end: int) -> UpDown:
        """How much of what `minutes` counts as up and as down no poll backs."""
        return self._unknown(start, end, grid_minutes)

    def unknown_microseconds(self, start: int, end: int) -> UpDown:
        """How much of what `microseconds` counts as up and as down no poll backs."""
        return self._unknown(start, end, exact_microseconds)

    def coverage(self, parts: Iterable[Interval]) -> float | None:
        """The share of the open time in some intervals that polls back, 0 to 1, six decimals.

        Returns:
            None where it is never open in them.
        """
        parts = list(parts)
        time = total(intersect(self.opened, parts))
        return round(total(intersect(self.covered_open, parts)) / time, 6) if time else None

    def polls_in(self, start: int, end: int) -> int:
        """How many polls lie in `[start, end)`."""
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
    """Put together what a store's facts say of `[start, end)`.

    Args:
        hours: when the store is open, on its local clock.
        tz: the zone of that clock.
        polls: a set as `polls.poll_set` packs it; those after the end change nothing.
        start: in µs.
        end: in µs.
        lookback: how long before the start a poll still counts, in µs.
        default_active: the status where no poll tells.
        stale_after: how long a poll speaks for the store, in µs.
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


def window_totals(observed: StoreObservation, *, exactly: bool = False) -> WindowTotals:
    """Split the three windows before the end of a span, which is at least a week long.

    Args:
        observed: the span.
        exactly: microseconds without the grid of minutes, instead of minutes on it.
    """
    return _figures(observed, observed.microseconds if exactly else observed.minutes, exactly)


def unknown_window_totals(observed: StoreObservation, *, exactly: bool = False) -> WindowTotals:
    """How much of each figure of `window_totals` no poll backs."""
    split = observed.unknown_microseconds if exactly else observed.unknown_minutes
    return _figures(observed, split, exactly)


def _figures(
    observed: StoreObservation,
    split: Callable[[int, int], UpDown],
    exactly: bool,
) -> WindowTotals:
    end = observed.end
    return WindowTotals(
        hour=split(end - HOUR_WINDOW, end),
        day=split(end - DAY_WINDOW, end),
        week=split(end - WEEK_WINDOW, end),
        unit=1 if exactly else MINUTE,
        polls_counted=len(observed.polls),
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


def covered_intervals(polls: array[int], start: int, end: int, stale_after: int) -> list[Interval]:
    """The parts of `[start, end)` that lie less than `stale_after` behind some poll."""
    if not polls:
        return []
    found = []
    last = since = polls[0] >> 1
    for poll in polls:
        instant = poll >> 1
        if instant - last > stale_after:
            found.append((since, last + stale_after))
            since = instant
        last = instant
    found.append((since, last + stale_after))
    return clip(found, start, end)


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
