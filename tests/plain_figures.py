"""Computes the figures of one store from intervals, for a comparison with the product's arrays.

It counts the intersections of intervals, while the product takes differences of running sums. Both
use the same intervals in which a store is open, and share nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from stream_app.domain.intervals import intersect, total
from stream_app.domain.local_days import local_days
from stream_app.domain.observation import StoreObservation, observe
from stream_app.domain.report import hours_of
from stream_app.domain.timestamps import DAY, HOUR, MINUTE, SECOND, WEEK, format_instant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from stream_app.domain.intervals import Interval
    from stream_app.domain.report_spec import ReportSpec
    from stream_app.domain.store_facts import PollRules, StoreFacts

    Count = Callable[[int, int, int], int]


class PlainRow(NamedTuple):
    """The values of a row of a report, as a `ReportRow` has them."""

    values: list[Any]
    polls_counted: int
    coverage: float | None
    unknown: list[float]


def plain_rows(
    spec: ReportSpec, store_id: str, facts: StoreFacts, reference: int, rules: PollRules
) -> list[PlainRow]:
    """Compute the rows of a report of one store."""
    start, end = spec.span(reference)
    figures = PlainFigures(observe(facts, start, end, rules))
    if spec.windows:
        windows = [(end - length, end) for length in (HOUR, DAY, WEEK)]
        splits = [figures.split([window], exact=spec.exact) for window in windows]
        values = [
            split[side] if spec.exact or place == 0 else hours_of(int(split[side]))
            for side in range(4)
            for place, split in enumerate(splits)
        ]
        return [
            PlainRow(
                [store_id, *values[:6]],
                len(figures.observed.polls),
                figures.coverage([(start, end)]),
                values[6:],
            )
        ]
    rows = []
    days = [([day.isoformat()], parts) for day, parts in local_days(facts.tz, start, end).items()]
    for names, parts in days if spec.daily else [([], [(start, end)])]:
        times = [format_instant(parts[0][0]), format_instant(parts[-1][1])]
        up, down, *unknown = figures.split(parts, exact=spec.exact)
        polls = [poll >> 1 for poll in figures.observed.polls]
        inside = sum(first <= instant < last for instant in polls for first, last in parts)
        rows.append(
            PlainRow(
                [store_id, *names, *times, up, down],
                inside if spec.daily else len(polls),
                figures.coverage(parts),
                unknown,
            )
        )
    return rows


class PlainFigures:
    """The figures of one store, from the intervals in which it is open, active and covered."""

    def __init__(self, observed: StoreObservation) -> None:
        self.observed = observed
        self._up = intersect(observed.opened, observed.active)
        self._covered_open = intersect(observed.opened, observed.covered)
        self._covered_up = intersect(self._up, observed.covered)

    def split(self, parts: Iterable[Interval], *, exact: bool) -> list[float]:
        """Measure the up and the down time, and the part of each that no poll covers.

        Returns:
            Four numbers, in seconds if exact, else in minutes.
        """
        parts = list(parts)
        up, opened, covered_up, covered = (
            self._count(intersect(intervals, parts), exact=exact)
            for intervals in (
                self._up,
                self.observed.opened,
                self._covered_up,
                self._covered_open,
            )
        )
        down = opened - up
        counts = [up, down, up - covered_up, down - (covered - covered_up)]
        return [count / SECOND for count in counts] if exact else [*counts]

    def coverage(self, parts: Iterable[Interval]) -> float | None:
        """Return the share of the open time in `parts` that polls cover; None without open time."""
        parts = list(parts)
        time = total(intersect(self.observed.opened, parts))
        return round(total(intersect(self._covered_open, parts)) / time, 6) if time else None

    def _count(self, intervals: Iterable[Interval], *, exact: bool) -> int:
        if exact:
            return total(intervals)
        return sum(self._points(start, end) for start, end in intervals)

    def _points(self, start: int, end: int) -> int:
        """Count the whole minutes before the reference time whose beginning is in an interval."""
        reference = self.observed.end
        return (reference - start) // MINUTE - (reference - end) // MINUTE
