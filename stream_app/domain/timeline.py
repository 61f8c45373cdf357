"""The timeline of a store, cut where its state changes, and the incidents in it."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from stream_app.domain.intervals import intersect, total

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stream_app.domain.intervals import Interval
    from stream_app.domain.observation import StoreObservation


@dataclass(frozen=True, slots=True)
class TimelineSegment:
    """The longest interval of a timeline in which nothing changes.

    Attributes:
        start: µs.
        end: µs.
        open: it is in business hours.
        known: a recent poll covers it.
        active: the status that the figures count.
    """

    start: int
    end: int
    open: bool
    known: bool
    active: bool

    @property
    def status(self) -> Literal["active", "inactive", "unknown"]:
        """Return the status by the polls alone, without the default status."""
        if not self.known:
            return "unknown"
        return "active" if self.active else "inactive"


def timeline(observed: StoreObservation) -> list[TimelineSegment]:
    """Return the segments of the whole span in order, without gaps; neighbours always differ."""
    layers = (observed.opened, observed.covered, observed.active)
    cuts = {observed.start, observed.end}
    for layer in layers:
        for interval in layer:
            cuts.update(interval)
    instants = sorted(cuts)
    inside = [_membership(layer, instants) for layer in layers]
    segments: list[TimelineSegment] = []
    for start, end, now_open, known, active in zip(instants, instants[1:], *inside, strict=False):
        last = segments[-1] if segments else None
        if last and (last.open, last.known, last.active) == (now_open, known, active):
            segments[-1] = TimelineSegment(last.start, end, now_open, known, active)
        else:
            segments.append(TimelineSegment(start, end, now_open, known, active))
    return segments


def _membership(layer: Sequence[Interval], instants: Sequence[int]) -> Iterator[bool]:
    """Yield whether a layer contains each instant; the ends of the layer are among the instants."""
    at = 0
    for instant in instants:
        while at < len(layer) and layer[at][1] <= instant:
            at += 1
        yield at < len(layer) and layer[at][0] <= instant


@dataclass(frozen=True, slots=True)
class Incident:
    """One unbroken time that counts as inactive and contains business hours.

    Attributes:
        start: its first open instant, µs.
        end: the end of its last open time, µs.
        downtime: the open time in it, µs.
        unknown: the part of the downtime that no poll covers, µs.
        ongoing: it reaches the end of the span, and no poll there is active.
        began_earlier: it reaches the start of the span, and may have begun before.
        reported: a poll was inactive; otherwise there was no poll, and the default status applied.
    """

    start: int
    end: int
    downtime: int
    unknown: int
    ongoing: bool
    began_earlier: bool
    reported: bool


def incidents(observed: StoreObservation) -> list[Incident]:
    """Return the incidents of a span, oldest first; their downtimes add up to that of the span."""
    result = []
    covered_open = intersect(observed.opened, observed.covered)
    for run in _gaps(observed.active, observed.start, observed.end):
        opened = intersect(observed.opened, [run])
        if opened:
            result.append(
                Incident(
                    start=opened[0][0],
                    end=opened[-1][1],
                    downtime=total(opened),
                    unknown=total(opened) - total(intersect(covered_open, [run])),
                    ongoing=run[1] == observed.end and not _active_at_the_end(observed),
                    began_earlier=run[0] == observed.start,
                    # the newest poll before the end of the run is in it, or still counts in it
                    reported=bisect_left(observed.polls, run[1] << 1) > 0,
                )
            )
    return result


def _active_at_the_end(observed: StoreObservation) -> bool:
    """Return True for an active poll exactly at the end, which ends an incident."""
    return bool(observed.polls) and observed.polls[-1] == observed.end << 1 | 1


def _gaps(intervals: Sequence[Interval], start: int, end: int) -> Iterator[Interval]:
    """Yield the parts of `[start, end)` between the intervals in it."""
    for first, last in intervals:
        if start < first:
            yield start, first
        start = last
    if start < end:
        yield start, end
