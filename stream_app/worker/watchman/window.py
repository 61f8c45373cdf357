"""Chooses a time range in which the topics and the table both have every poll of a store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from stream_app.domain.report_spec import ReportSpec
from stream_app.domain.timestamps import DAY, MINUTE, WEEK

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from stream_app.settings import Settings

CLOCK_STEP: Final = MINUTE
"""Microseconds by which the broker's time may go back from one record to the next."""

MIN_SPAN: Final = 15 * MINUTE
"""The shortest time range that is compared, in µs."""


@dataclass(frozen=True, slots=True)
class Window:
    """A report that can be compared.

    Attributes:
        spec: the figures of the report.
        reference: its reference time, µs.
        settings: the worker's settings; the lookback is 0 if the span is not the whole week.
    """

    spec: ReportSpec
    reference: int
    settings: Settings


def complete_from(first_append_time: int | None, first_offset: int, tolerance: int) -> int:
    """Return the time from which on a reader has every poll, if it begins to read at an offset; µs.

    A poll may be ahead of the broker's clock by the tolerance at most. So the records before the
    offset, which the broker appended earlier, have only polls that are older than this time.

    Args:
        first_append_time: the broker's time of the first record that was read, µs; None if there is
            no record.
        first_offset: the offset at which reading begins.
        tolerance: the setting FUTURE_TOLERANCE, µs.
    """
    if first_offset == 0:
        return 0
    return (first_append_time or 0) + tolerance + CLOCK_STEP


def reading_span(tolerance: int) -> int:
    """Return how far back from now a partition must be read for a window of MIN_SPAN; µs."""
    return tolerance + CLOCK_STEP + MIN_SPAN


def choose_window(
    settings: Settings, complete_since: int, newest: int, polls: Sequence[int], random: Random
) -> Window | None:
    """Choose the report of a store that is compared.

    Args:
        settings: lookback and retention.
        complete_since: the time from which on every poll was read from the topics, µs.
        newest: the time of the newest poll of all stores of the partition, µs.
        polls: the times of some polls of the store, µs, in any order.
        random: chooses among the possible reports.

    Returns:
        a report of which the topics and the table both have every poll; None if there is none.
    """
    # polls that are more than the retention older than the newest poll of their store are dropped
    earliest = max(complete_since, newest - settings.retention)
    references = [newest]
    if polls:
        references.insert(0, min(random.choice(polls) + random.randrange(DAY), newest))
    for reference in references if random.random() < 0.5 else reversed(references):
        if reference - WEEK - settings.lookback >= earliest:
            return Window(ReportSpec(), reference, settings)
        if reference - earliest >= MIN_SPAN:
            start = max(earliest, reference - WEEK)
            return Window(ReportSpec(start=start), reference, settings.replace(lookback=0))
    return None
