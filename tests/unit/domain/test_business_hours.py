from __future__ import annotations

from dataclasses import FrozenInstanceError
from itertools import pairwise, permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.domain import business_hours
from stream_app.domain.business_hours import (
    ALWAYS_OPEN,
    WeeklyHours,
    open_intervals,
    parse_time_of_day,
)
from stream_app.domain.intervals import total
from stream_app.domain.timestamps import DAY, HOUR, MINUTE, SECOND, WEEK, parse_instant
from stream_app.domain.timezones import resolve_timezone
from stream_app.errors import RecordError
from tests import minute_walk
from tests.strategies import Row, hours_row, hours_rows

MONDAY, TUESDAY, SUNDAY = 0, 1, 6


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0:00", 0),
        ("9:05", 9 * HOUR + 5 * MINUTE),
        ("09:05", 9 * HOUR + 5 * MINUTE),
        (" 09:05:07 ", 9 * HOUR + 5 * MINUTE + 7 * SECOND),
        ("09:05:07.000001", 9 * HOUR + 5 * MINUTE + 7 * SECOND + 1),
        ("00:00:00.5", SECOND // 2),
        ("23:59:59.999999", DAY - 1),
        ("09:05:07.0000019999", 9 * HOUR + 5 * MINUTE + 7 * SECOND + 1),
    ],
)
def test_a_time_of_day(text: str, expected: int) -> None:
    assert parse_time_of_day(text) == expected


@pytest.mark.parametrize(
    "text", ["24:00", "24:00:00", "24:00:00.000000", "23:59:59.999999", "23:59:59.9999999"]
)
def test_the_end_of_the_day(text: str) -> None:
    assert parse_time_of_day(text, end=True) == DAY


@pytest.mark.parametrize("text", ["23:59:59", "23:59:59.999998", "23:59:59.999", "23:59"])
def test_an_earlier_end_stays_as_written(text: str) -> None:
    assert parse_time_of_day(text, end=True) < DAY


@pytest.mark.parametrize("text", ["24:00", "24:00:00"])
def test_24_00_cannot_start_hours(text: str) -> None:
    with pytest.raises(RecordError, match="24:00 ends a day"):
        parse_time_of_day(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "9",
        "9:5",
        "0900",
        "-1:00",
        "09:00 AM",
        "009:00",
        "09:00:00.",
        "09:00:00.000000000000000000001",
        "\uff19:00",
    ],
)
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(RecordError, match="not a time of day"):
        parse_time_of_day(text)


@pytest.mark.parametrize("text", ["24:01", "25:00", "09:60", "09:00:60", "24:00:00.000001"])
def test_times_that_no_clock_shows_are_refused(text: str) -> None:
    with pytest.raises(RecordError, match="no clock shows"):
        parse_time_of_day(text, end=True)


@given(st.integers(0, DAY - 2))
def test_every_microsecond_of_the_day_is_read(instant: int) -> None:
    seconds, fraction = divmod(instant, SECOND)
    text = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{fraction:06}"

    assert parse_time_of_day(text) == parse_time_of_day(text, end=True) == instant


def test_no_rows_are_always_open() -> None:
    assert WeeklyHours.from_rows([]) == WeeklyHours.from_rows(iter(())) == ALWAYS_OPEN
    assert ALWAYS_OPEN.intervals == ((0, WEEK),)


def test_full_days_are_always_open_too() -> None:
    ends = ["24:00", "24:00:00", "23:59:59.999999"]
    rows = [(day, "00:00:00", ends[day % 3]) for day in range(7)]

    assert WeeklyHours.from_rows(rows) == ALWAYS_OPEN


# Mon 22        24 | Tue 00   02
#     [============|=========)
def test_a_row_is_parsed_once_whatever_the_number_of_its_stores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parsed: list[str] = []

    def parse(text: str, *, end: bool = False) -> int:
        parsed.append(text)
        return parse_time_of_day(text, end=end)

    monkeypatch.setattr(business_hours, "parse_time_of_day", parse)
    business_hours._parse_row.cache_clear()

    weeks = {WeeklyHours.from_rows([(MONDAY, start, "17:00")]) for start in ("09:00", " 09:00 ")}

    assert parsed == ["09:00", "17:00"]
    assert weeks == {WeeklyHours(((9 * HOUR, 17 * HOUR),))}


def test_an_overnight_row_spills_into_the_next_day() -> None:
    hours = WeeklyHours.from_rows([(MONDAY, "22:00", "02:00")])

    assert hours.intervals == ((22 * HOUR, 26 * HOUR),)


# Mon 10:30                Tue 10:00
#     [====================)
@pytest.mark.parametrize("start", ["10:00:00.000001", "10:30", "11:00", "23:59:59"])
def test_any_start_after_its_end_is_overnight(start: str) -> None:
    hours = WeeklyHours.from_rows([(MONDAY, start, "10:00")])

    assert hours.intervals == ((parse_time_of_day(start), DAY + 10 * HOUR),)


# | Mon 00   02   ...   Sun 22        24 |
# |=========)               [============|
def test_sunday_night_wraps_to_monday() -> None:
    hours = WeeklyHours.from_rows([(SUNDAY, "22:00", "02:00")])

    assert hours.intervals == ((0, 2 * HOUR), (WEEK - 2 * HOUR, WEEK))


def test_an_end_of_00_00_is_the_next_midnight() -> None:
    assert WeeklyHours.from_rows([(SUNDAY, "18:00", "00:00")]).intervals == (
        (WEEK - 6 * HOUR, WEEK),
    )


def test_overlapping_rows_are_a_union_in_any_order() -> None:
    rows = [(MONDAY, "09:00", "12:00"), (MONDAY, "11:00", "14:00"), (MONDAY, "14:00", "18:00")]

    for order in permutations(rows):
        assert WeeklyHours.from_rows(order).intervals == ((9 * HOUR, 18 * HOUR),)


@pytest.mark.parametrize("text", ["00:00", "09:00", "23:59:59.999999"])
def test_a_row_whose_start_is_its_end_never_opens_and_is_listed(text: str) -> None:
    row = (MONDAY, text, f" {text}")

    hours = WeeklyHours.from_rows([row])

    assert hours.intervals == ()
    assert hours.never_open_rows == (row,)


def test_a_never_open_row_beside_others() -> None:
    hours = WeeklyHours.from_rows([(MONDAY, "9:00", "09:00:00"), (TUESDAY, "09:00", "10:00")])

    assert hours.intervals == ((DAY + 9 * HOUR, DAY + 10 * HOUR),)
    assert len(hours.never_open_rows) == 1
    assert hours == WeeklyHours.from_rows([(TUESDAY, "09:00", "10:00")])


def test_the_last_microsecond_of_a_day() -> None:
    hours = WeeklyHours.from_rows([(MONDAY, "23:59:59.999999", "24:00")])

    assert hours.intervals == ((DAY - 1, DAY),)


@pytest.mark.parametrize("day", [-1, 7])
def test_a_wrong_day_is_refused(day: int) -> None:
    with pytest.raises(RecordError, match=f"day {day} is not 0"):
        WeeklyHours.from_rows([(day, "09:00", "10:00")])


def test_the_reason_names_the_day_and_the_time() -> None:
    with pytest.raises(RecordError, match=r"hours of day 1: no clock shows.*'25:00'"):
        WeeklyHours.from_rows([(MONDAY, "09:00", "10:00"), (TUESDAY, "25:00", "26:00")])


def test_hours_cannot_change() -> None:
    with pytest.raises(FrozenInstanceError):
        ALWAYS_OPEN.intervals = ()  # type: ignore[misc]


@settings(max_examples=100)
@given(hours_rows())
def test_rows_become_sorted_intervals_of_the_week_that_do_not_touch(rows: list[Row]) -> None:
    intervals = WeeklyHours.from_rows(rows).intervals

    assert all(0 <= start < end <= WEEK for start, end in intervals)
    assert all(one[1] < other[0] for one, other in pairwise(intervals))
    assert WeeklyHours.from_rows(rows + rows) == WeeklyHours.from_rows(reversed(rows))


@settings(max_examples=200)
@given(st.lists(hours_row(), min_size=1, max_size=4), st.data())
def test_the_week_is_open_where_a_row_says_so(rows: list[Row], data: st.DataObject) -> None:
    readings = [minute_walk._time_of_day(text) for _, *times in rows for text in times]
    intervals = WeeklyHours.from_rows(rows).intervals
    opening = [(d, minute_walk._time_of_day(s), minute_walk._time_of_day(e)) for d, s, e in rows]

    for hours, minutes, seconds, fraction in {*readings, (0, 0, 0, 0), (12, 0, 0, 0)}:
        nearby = data.draw(st.sampled_from([-1, 0, 1]))
        at = hours * HOUR + minutes * MINUTE + seconds * SECOND + fraction + nearby
        at = min(max(at, 0), DAY - 1)
        clock = (at // HOUR, at // MINUTE % 60, at // SECOND % 60, at % SECOND)
        for day in range(7):
            expected = minute_walk._is_open(opening, day, clock)
            assert any(start <= day * DAY + at < end for start, end in intervals) == expected


# Kathmandu is UTC+5:45: Monday 09:00-10:00 there is 03:15-04:15 UTC
def test_open_instants_are_local_readings() -> None:
    hours = WeeklyHours.from_rows([(MONDAY, "09:00", "10:00")])
    start = parse_instant("2024-10-09T00:00")

    opened = open_intervals(
        hours, resolve_timezone("Asia/Kathmandu", "UTC"), start, start + 14 * DAY
    )

    assert opened == [
        (parse_instant("2024-10-14T03:15"), parse_instant("2024-10-14T04:15")),
        (parse_instant("2024-10-21T03:15"), parse_instant("2024-10-21T04:15")),
    ]


def test_open_instants_are_cut_to_the_span() -> None:
    start = parse_instant("2024-10-09T12:00")

    opened = open_intervals(ALWAYS_OPEN, resolve_timezone("UTC", "UTC"), start, start + 10 * DAY)

    assert (opened[0][0], opened[-1][1]) == (start, start + 10 * DAY)
    assert total(opened) == 10 * DAY


def test_a_span_before_1970() -> None:
    hours = WeeklyHours.from_rows([(6, "00:00", "24:00")])

    # 1969-12-28 was a Sunday
    opened = open_intervals(hours, resolve_timezone("UTC", "UTC"), -7 * DAY, 0)

    assert opened == [(-4 * DAY, -3 * DAY)]
