"""Business hours: rows of local times, the weekly hours that they make, and their instants."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from stream_app.domain.intervals import Interval, clip, shift, union
from stream_app.domain.timestamps import DAY, HOUR, MINUTE, SECOND, WEEK
from stream_app.domain.timezones import constant_offset_segments
from stream_app.errors import RecordError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytz.tzinfo import BaseTzInfo

Row = tuple[int, str, str]
"""`(day, start, end)`: 0 = Monday, local times of day as text."""

_TIME_OF_DAY: Final = re.compile(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,20}))?)?")
_NUMBER: Final = re.compile(r"-?[0-9]{1,9}(?:\.[0-9]{1,20})?(?:[eE][+-]?[0-9]{1,2})?")

_LAST_MICROSECOND: Final = DAY - 1
"""23:59:59.999999, which files write for the end of the day instead of 24:00."""

_FIRST_MONDAY: Final = 4 * DAY
"""1970-01-05T00:00 on any clock; the epoch was a Thursday."""


def whole_day(number: object) -> int | None:
    """Convert a number to a day: 0.0 is 0, since JSON has one kind of number.

    Returns:
        the whole number, which may be no day (0 to 6); None if it is no whole number.
    """
    if type(number) is int:
        return number
    # a larger float may have lost its fraction
    if type(number) is float and number.is_integer() and abs(number) < 1 << 53:
        return int(number)
    return None


def parse_day(text: str) -> int:
    """Read a day from the text of a number, as files have it.

    Raises:
        RecordError: it is no whole number.
    """
    trimmed = text.strip()
    day = whole_day(float(trimmed)) if _NUMBER.fullmatch(trimmed) else None
    if day is None:
        raise RecordError(f"day is not 0 (Monday) to 6 (Sunday): {text[:60]!r}")
    return day


def parse_time_of_day(text: str, *, end: bool = False) -> int:
    """Read `H:MM`, `HH:MM`, `HH:MM:SS` or `HH:MM:SS.ffffff`, with spaces around it or not.

    Digits after the sixth decimal of a second are cut off, as in an instant.

    Args:
        text: a local time of day.
        end: True if it is the end of an interval: there `24:00` is valid, and `23:59:59.999999`
            means `24:00` too.

    Returns:
        microseconds since midnight, 0 to DAY.

    Raises:
        RecordError: not a time of day, or `24:00` at the start.
    """
    reading = _clock_reading(text)
    if not end and reading == DAY:
        raise RecordError(f"24:00 ends a day and cannot start hours: {text.strip()[:60]!r}")
    return DAY if end and reading == _LAST_MICROSECOND else reading


def _clock_reading(text: str) -> int:
    # without the spaces around it, so that the texts in the cache are short
    return _parse_clock(text.strip())


@lru_cache(maxsize=4_096)
def _parse_clock(text: str) -> int:
    match = _TIME_OF_DAY.fullmatch(text)
    if match is None:
        raise RecordError(f"not a time of day such as 09:30 or 21:00:00: {text[:60]!r}")
    hours, minutes, seconds, fraction = match.groups(default="0")
    reading = (
        int(hours) * HOUR
        + int(minutes) * MINUTE
        + int(seconds) * SECOND
        + int(fraction.ljust(6, "0")[:6])
    )
    if int(minutes) > 59 or int(seconds) > 59 or reading > DAY:
        raise RecordError(f"no clock shows this time of day: {text[:60]!r}")
    return reading


@dataclass(frozen=True, slots=True)
class WeeklyHours:
    """The business hours of a week on a store's local clock.

    Attributes:
        intervals: sorted, disjoint, in µs since Monday 00:00 local, within `[0, WEEK)`.
        never_open_rows: the rows whose start equals their end, which open nothing; the caller
            warns about them once.
    """

    intervals: tuple[Interval, ...]
    never_open_rows: tuple[Row, ...] = field(default=(), compare=False)

    @classmethod
    def from_rows(cls, rows: Iterable[Row]) -> WeeklyHours:
        """Merge all rows of a store; no row at all means always open.

        Raises:
            RecordError: one row has a wrong day or time, so that none of them applies.
        """
        opened: list[Interval] = []
        never_open: list[Row] = []
        empty = True
        for row in rows:
            empty = False
            pieces = _pieces(row)
            opened += pieces
            if not pieces:
                never_open.append(row)
        return ALWAYS_OPEN if empty else cls(tuple(union(opened)), tuple(never_open))


ALWAYS_OPEN: Final = WeeklyHours(((0, WEEK),))


def _pieces(row: Row) -> tuple[Interval, ...]:
    """Return the intervals of one row in the local week; none where its start is its end."""
    day, start, end = row
    # without the spaces around them, so that the texts in the cache are short
    return _parse_row(day, start.strip(), end.strip())


@lru_cache(maxsize=16_384)
def _parse_row(day: int, start: str, end: str) -> tuple[Interval, ...]:
    # many stores have the same rows: of 35,457 published ones 1,410 are different
    if not 0 <= day <= 6:
        raise RecordError(f"day {day} is not 0 (Monday) to 6 (Sunday)")
    try:
        opens = parse_time_of_day(start)
        closes = parse_time_of_day(end, end=True)
    except RecordError as error:
        raise RecordError(f"hours of day {day}: {error}") from None
    # compared as they are written: 23:59:59.999999 on both sides is equal, though as the end it
    # means 24:00
    if opens == _clock_reading(end):
        return ()
    midnight = day * DAY
    if opens < closes:
        return ((midnight + opens, midnight + closes),)
    next_midnight = (midnight + DAY) % WEEK
    return (midnight + opens, midnight + DAY), (next_midnight, next_midnight + closes)


def open_intervals(hours: WeeklyHours, tz: BaseTzInfo, start: int, end: int) -> list[Interval]:
    """Return the parts of `[start, end)` in which a timezone's clock shows business hours.

    Returns:
        UTC intervals in µs, sorted and disjoint; one may begin where the last one ends.
    """
    intervals: list[Interval] = []
    # Where the offset is constant, local time is UTC shifted: a skipped hour falls between two
    # segments and a repeated one into both, so clock changes need no rule of their own.
    for first, last, offset in constant_offset_segments(tz, start, end):
        monday = first - (first + offset - _FIRST_MONDAY) % WEEK
        while monday < last:
            intervals += clip(shift(hours.intervals, monday), first, last)
            monday += WEEK
    return intervals
