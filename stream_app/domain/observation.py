"""The intervals in which a store is open, active and covered: a timeline is made of them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stream_app.domain.business_hours import open_intervals
from stream_app.domain.intervals import clip
from stream_app.domain.polls import between

if TYPE_CHECKING:
    from array import array

    from stream_app.domain.intervals import Interval
    from stream_app.domain.store_facts import PollRules, StoreFacts


@dataclass(frozen=True, slots=True)
class StoreObservation:
    """The state of a store over a span of time; all intervals are sorted, disjoint, in µs.

    Attributes:
        start: start of the span.
        end: end of the span.
        opened: business hours.
        active: the time in which the newest poll before it is active, or the default status if
            there is no poll.
        covered: the time in which the newest poll is recent enough; see `covered_intervals`.
        polls: the polls that count: in the span and in the lookback before it.
    """

    start: int
    end: int
    opened: list[Interval]
    active: list[Interval]
    covered: list[Interval]
    polls: array[int]


def observe(facts: StoreFacts, start: int, end: int, rules: PollRules) -> StoreObservation:
    """Compute the state of a store over `[start, end)`, µs; polls after the end change nothing."""
    counted = between(facts.polls, start - rules.lookback, end)
    return StoreObservation(
        start=start,
        end=end,
        opened=open_intervals(facts.hours, facts.tz, start, end),
        active=active_intervals(counted, start, end, default_active=rules.default_active),
        covered=covered_intervals(counted, start, end, rules.stale_after),
        polls=counted,
    )


def active_intervals(
    polls: array[int], start: int, end: int, *, default_active: bool
) -> list[Interval]:
    """Return the parts of `[start, end)` in which the newest poll before them is active.

    Args:
        polls: a set as `polls.poll_set` packs it.
        start: the first instant, µs.
        end: the end, µs; polls from there on change nothing.
        default_active: the status before the first poll.

    Returns:
        intervals in µs, sorted and disjoint; none begins where another one ends.
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
