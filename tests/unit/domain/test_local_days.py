from __future__ import annotations

from datetime import date
from itertools import chain, pairwise

import pytest
import pytz
from hypothesis import given
from hypothesis import strategies as st

from stream_app.domain.local_days import is_whole_day, local_days
from stream_app.domain.timestamps import DAY, HOUR, parse_instant
from stream_app.domain.timezones import resolve_timezone
from tests.strategies import clock_changes, datetime_of, timezone_names


@st.composite
def spans(draw: st.DrawFn) -> tuple[str, int, int]:
    """Return a timezone, and a span that is likely to have a clock change in it."""
    name = draw(timezone_names())
    near = draw(st.sampled_from(clock_changes(name) or [1_700_000_000_000_000]))
    start = near + draw(st.integers(-3 * DAY, 3 * DAY))
    return name, start, start + draw(st.integers(1, 5 * DAY))


@given(spans())
def test_only_the_first_and_the_last_day_of_a_span_can_be_cut(span: tuple[str, int, int]) -> None:
    name, start, end = span
    tz = resolve_timezone(name, "UTC")
    days = local_days(tz, start, end)
    whole = local_days(tz, start - 3 * DAY, end + 3 * DAY)

    for day, parts in days.items():
        expected = parts == whole[day]
        assert is_whole_day(tz, day, parts[0][0], parts[-1][1]) == expected
        assert expected or day in (min(days), max(days))


@given(spans(), st.data())
def test_every_instant_is_in_the_day_that_its_clock_shows(
    span: tuple[str, int, int], data: st.DataObject
) -> None:
    name, start, end = span
    instant = data.draw(st.integers(start, end - 1))

    (day,) = [
        day
        for day, parts in local_days(resolve_timezone(name, ""), start, end).items()
        if any(first <= instant < last for first, last in parts)
    ]

    assert day == datetime_of(instant).astimezone(pytz.timezone(name)).date()


@given(spans())
def test_the_days_are_the_whole_span_and_in_order(span: tuple[str, int, int]) -> None:
    name, start, end = span
    days = local_days(resolve_timezone(name, ""), start, end)

    parts = sorted(chain.from_iterable(days.values()))
    assert (parts[0][0], parts[-1][1]) == (start, end)
    assert all(one[1] == other[0] for one, other in pairwise(parts))
    assert list(days) == sorted(days)


@pytest.mark.parametrize(("day", "hours"), [("2024-03-10", 23), ("2024-11-03", 25)])
def test_a_day_is_as_long_as_its_clock_says(day: str, hours: int) -> None:
    midnight = parse_instant(f"{day}T00:00:00-06:00") - 2 * DAY
    (part,) = local_days(resolve_timezone("America/Chicago", ""), midnight, midnight + 5 * DAY)[
        date.fromisoformat(day)
    ]
    assert part[1] - part[0] == hours * HOUR


def test_a_day_that_a_timezone_skipped_is_left_out() -> None:
    start = parse_instant("2011-12-28T00:00:00Z")
    days = list(local_days(resolve_timezone("Pacific/Apia", ""), start, start + 5 * DAY))

    assert date(2011, 12, 29) in days
    assert date(2011, 12, 30) not in days
    assert date(2011, 12, 31) in days


def test_a_day_may_come_in_two_pieces() -> None:
    """A clock that is put back at a minute past midnight shows the end of a day again."""
    change = parse_instant("2010-11-07T02:31:00Z")  # 00:01 becomes 23:01 in St. John's
    days = local_days(resolve_timezone("America/St_Johns", ""), change - DAY, change + DAY)

    assert len(days[date(2010, 11, 6)]) == 2
    assert len(days[date(2010, 11, 7)]) == 2
