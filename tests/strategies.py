"""Provides Hypothesis strategies for the facts of a store.

Instants and durations are in µs, as in the product; polls are `(instant, active)` pairs.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

import pytz
from hypothesis import strategies as st

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
WEEK = 7 * DAY
LOOKBACK = HOUR

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Row = tuple[int, str, str]
Poll = tuple[int, bool]

ZONES = (
    "UTC",
    "America/Chicago",
    "America/Phoenix",  # never changes its clock
    "Etc/GMT+12",
    "Europe/London",
    "Europe/Dublin",  # its daylight saving time is in winter, and negative
    "Africa/Casablanca",  # four changes a year, around Ramadan
    "America/Santiago",  # on the southern half of the earth, changes at midnight
    "America/Sao_Paulo",  # on the southern half of the earth, skipped midnight
    "Asia/Kathmandu",  # +5:45
    "Asia/Pyongyang",  # moved by half an hour, twice
    "Australia/Lord_Howe",  # changes by half an hour
    "America/St_Johns",  # -3:30
    "Pacific/Chatham",  # +12:45
    "Antarctica/Troll",  # changes by two hours
    "Asia/Gaza",
    "Pacific/Apia",  # skipped the whole of 2011-12-30
    "Pacific/Kwajalein",  # skipped the whole of 1993-08-21
    "Pacific/Kiritimati",  # +14:00
)


def datetime_of(instant: int) -> datetime:
    """Return the aware datetime of an instant."""
    return EPOCH + timedelta(microseconds=instant)


def offset_at(timezone_name: str, instant: int) -> int:
    """Return the offset of a timezone from UTC in µs, as datetime and pytz compute it."""
    offset = datetime_of(instant).astimezone(pytz.timezone(timezone_name)).utcoffset()
    assert offset is not None
    return offset // timedelta(microseconds=1)


@lru_cache
def clock_changes(timezone_name: str) -> list[int]:
    """Return the instants from 1992 to 2030 at which the offset of a timezone changes."""
    first, last = (
        (datetime(year, 1, 1, tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
        for year in (1992, 2030)
    )
    changes = []
    before = offset_at(timezone_name, first)
    for day in range(first + DAY, last, DAY):
        after = offset_at(timezone_name, day)
        if after != before:
            low, high = (day - DAY) // SECOND, day // SECOND
            while high - low > 1:
                middle = (low + high) // 2
                if offset_at(timezone_name, middle * SECOND) == before:
                    low = middle
                else:
                    high = middle
            changes.append(high * SECOND)
            before = after
    return changes


def timezone_names() -> st.SearchStrategy[str]:
    return st.sampled_from(ZONES)


_BEYOND_THE_MINUTE: st.SearchStrategy[int] = st.one_of(
    st.sampled_from([0, 0, 1, 18 * SECOND, MINUTE - 1]), st.integers(0, MINUTE - 1)
)


@st.composite
def references(draw: st.DrawFn, timezone_name: str, *, whole_minutes: bool = False) -> int:
    """Draw a reference time, mostly one whose windows contain a clock change of the timezone."""
    changes = clock_changes(timezone_name)
    if changes and draw(st.integers(0, 3)) > 0:
        anchor = draw(st.sampled_from(changes))
        minutes = draw(st.one_of(st.integers(-60, 25 * 60), st.integers(0, 7 * 24 * 60 + 60)))
    else:
        anchor = 18_262 * DAY  # 2020-01-01
        minutes = draw(st.integers(-10_000_000, 10_000_000))
    extra = 0 if whole_minutes else draw(_BEYOND_THE_MINUTE)
    return anchor + minutes * MINUTE + extra


@st.composite
def times_of_day(draw: st.DrawFn, *, end: bool = False, whole_minutes: bool = False) -> str:
    """Draw a local time as a file may write it."""
    hour = draw(st.integers(0, 23))
    minute = draw(st.one_of(st.sampled_from([0, 0, 15, 30, 59]), st.integers(0, 59)))
    forms = [f"{hour}:{minute:02}", f" {hour:02}:{minute:02}", f"{hour:02}:{minute:02}:00"]
    forms += ["00:00", "24:00", "24:00:00", "23:59:59.999999"] if end else ["00:00:00"]
    if not whole_minutes:
        second = draw(st.integers(0, 59))
        fraction = draw(st.sampled_from(["5", "000001", "999999"]))
        forms += [f"{hour:02}:{minute:02}:{second:02}", f"{hour:02}:{minute:02}:59.{fraction}"]
        forms += ["23:59:59", "23:59:59.999999"]
    return draw(st.sampled_from(forms))


@st.composite
def hours_row(draw: st.DrawFn, *, whole_minutes: bool = False) -> Row:
    """Draw a row of business hours: within a day, overnight, or with its start as its end."""
    day = draw(st.integers(0, 6))
    start = draw(times_of_day(whole_minutes=whole_minutes))
    end = draw(
        st.one_of(
            times_of_day(end=True, whole_minutes=whole_minutes),
            times_of_day(end=True, whole_minutes=whole_minutes),
            st.just(start),
            # this is in the hour of the start: before the start, or after it
            st.sampled_from(["00", "29", "59"]).map(f"{start.split(':')[0]}:".__add__),
        )
    )
    return day, start, end


def hours_rows(*, whole_minutes: bool = False) -> st.SearchStrategy[list[Row]]:
    """Return a strategy for all rows of a store: none, a few, or a full week with overlaps."""
    return st.lists(hours_row(whole_minutes=whole_minutes), max_size=12)


@st.composite
def poll_lists(draw: st.DrawFn, reference: int, *, whole_minutes: bool = False) -> list[Poll]:
    """Draw polls in any order around the edges of a report's windows.

    Some have the same instant, with the same status or with the other one.
    """
    oldest = -WEEK - LOOKBACK
    edges = [oldest, -WEEK, -DAY, -HOUR, -MINUTE, 0, MINUTE]
    distances = st.one_of(
        st.sampled_from(edges),
        st.integers(-60, 5).map(lambda minutes: minutes * MINUTE),
        st.integers(-8 * 24 * 60, 60).map(lambda minutes: minutes * MINUTE),
    )
    if not whole_minutes:
        near_edges = st.sampled_from([edge + shift for edge in edges for shift in (-1, 1)])
        distances = st.one_of(distances, near_edges, st.integers(oldest - DAY, HOUR))
    polls = draw(st.lists(st.tuples(distances.map(reference.__add__), st.booleans()), max_size=30))
    if polls:
        again = st.tuples(st.sampled_from([instant for instant, _ in polls]), st.booleans())
        polls += draw(st.lists(again, max_size=5))
    return polls


class Case(NamedTuple):
    """All facts that a report of one store needs."""

    rows: list[Row]
    timezone_name: str
    polls: list[Poll]
    reference: int
    default_active: bool


@st.composite
def cases(draw: st.DrawFn, *, whole_minutes: bool = False) -> Case:
    """Draw the facts of one store; with `whole_minutes` every time is a whole minute."""
    timezone_name = draw(timezone_names())
    reference = draw(references(timezone_name, whole_minutes=whole_minutes))
    return Case(
        rows=draw(hours_rows(whole_minutes=whole_minutes)),
        timezone_name=timezone_name,
        polls=draw(poll_lists(reference, whole_minutes=whole_minutes)),
        reference=reference,
        default_active=draw(st.booleans()),
    )
