"""The open time of schedules: how much of it lies before any instant of a span.

Many stores share their schedule, which is business hours in a timezone. So a schedule's open
intervals are computed once for a span, whatever the number of its stores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stream_app.domain.business_hours import open_intervals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytz.tzinfo import BaseTzInfo

    from stream_app.domain.business_hours import WeeklyHours
    from stream_app.domain.poll_sets import Integers
    from stream_app.domain.windows import Reading


def opening_edges(hours: WeeklyHours, tz: BaseTzInfo, start: int, end: int) -> Integers:
    """Return the open intervals of a schedule in `[start, end)`, as `OpenTimes` takes them.

    Returns:
        rows of start and end, µs, sorted and disjoint; the first one is empty, at the start.
    """
    # with the empty interval, every instant of the span has an interval at or before it
    intervals = [(start, start), *open_intervals(hours, tz, start, end)]
    return np.array(intervals, dtype=np.int64)


class OpenTimes:
    """Looks up how much open time several schedules have before instants of one span.

    Args:
        schedules: the edges of each schedule, as `opening_edges` returns them.
        start: start of the span, µs.
        end: end of the span, µs.
    """

    def __init__(self, schedules: Sequence[Integers], start: int, end: int) -> None:
        self.start = start
        self.end = end
        numbers = np.repeat(np.arange(len(schedules)), [len(edges) for edges in schedules])
        edges = np.concatenate(schedules)
        self._starts, self._ends = edges[:, 0].copy(), edges[:, 1].copy()
        # one sorted array of all schedules: each schedule has its own range of keys
        self._stride = end - start + 1
        self._keys = numbers * self._stride + (self._starts - start)
        self._earlier: dict[Reading, Integers] = {}

    def find(self, schedules: Integers, instants: Integers) -> Integers:
        """Find the last interval of a schedule that starts at or before an instant of the span."""
        keys = schedules * self._stride + (instants - self.start)
        positions: Integers = self._keys.searchsorted(keys, side="right") - 1
        return positions

    def before(self, intervals: Integers, instants: Integers, reading: Reading) -> Integers:
        """Return the open time before instants, in the unit of a reading.

        It is counted from an origin that is the same for all instants of a schedule, so only the
        difference of two of them has a meaning.

        Args:
            intervals: for each instant what `find` returned.
            instants: µs, inside the span.
            reading: `minute_reading` or `microsecond_reading`.
        """
        earlier = self._earlier.get(reading)
        if earlier is None:
            starts, ends = reading(self._starts, self.end), reading(self._ends, self.end)
            earlier = self._earlier[reading] = np.cumsum(ends - starts) - ends
        within = np.minimum(instants, self._ends[intervals])
        before: Integers = earlier[intervals] + reading(within, self.end)
        return before
