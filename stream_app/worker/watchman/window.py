"""Chooses a time range of a store of which both the topics and the table hold every poll."""

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
"""The shortest span that is worth a comparison; µs."""


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


def known_from(first_append_time: int | None, first_offset: int, tolerance: int) -> int:
    """Return the time from which on no poll is missing where a partition is read from an offset on.

    The broker takes no poll that is dated further ahead of its clock than the tolerance: so a poll
    of this time or later stands at or behind the offset, and only polls that are older may stand
    before it.

    Args:
        first_append_time: the broker's time of the first record that was read, µs; None if there is
            no record.
        first_offset: the offset that the partition is read from.
        tolerance: the setting FUTURE_TOLERANCE, µs.
    """
    if first_offset == 0:
        return 0
    return (first_append_time or 0) + tolerance + CLOCK_STEP


def reading_span(tolerance: int) -> int:
    """Return the newest time of a partition that must be read for a window of MIN_SPAN; µs."""
    return tolerance + CLOCK_STEP + MIN_SPAN


def choose_window(
    settings: Settings, known: int, newest: int, polls: Sequence[int], random: Random
) -> Window | None:
    """Choose what to compare of a store.

    Args:
        settings: lookback and retention.
        known: the time from which on no poll is missing in what was read of the topics, µs.
        newest: the newest poll of any store of the partition, µs.
        polls: the instants of polls of the store that were read, µs; in any order.
        random: chooses.

    Returns:
        a report whose polls both the topics and the table hold; None if there is none.
    """
    # a store's polls are dropped when they are older than the retention before its newest one
    earliest = max(known, newest - settings.retention)
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
