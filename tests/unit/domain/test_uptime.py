from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import pytest

from stream_app.domain.observation import active_intervals
from stream_app.domain.polls import poll_set
from stream_app.domain.timestamps import DAY, HOUR, MINUTE, SECOND, WEEK, parse_instant
from tests.unit.domain.product import UpDown, figures, split, week_of

if TYPE_CHECKING:
    from tests.strategies import Poll

REFERENCE = parse_instant("2024-10-14T12:34:18")
CHICAGO = "America/Chicago"
MONDAY = 0


def test_a_store_that_never_opens_has_no_time_at_all() -> None:
    totals = figures([(MONDAY, "09:00", "09:00")], CHICAGO, [(REFERENCE, True)], REFERENCE)

    assert totals.hour == totals.day == totals.week == UpDown(0, 0)


def test_always_open_and_active_by_default() -> None:
    totals = figures([], CHICAGO, [], REFERENCE, default_active=True)

    assert (totals.hour, totals.day, totals.week) == (
        UpDown(60, 0),
        UpDown(1440, 0),
        UpDown(10080, 0),
    )


def test_exact_figures_are_microseconds() -> None:
    totals = figures([], CHICAGO, [(REFERENCE - 90 * SECOND, True)], REFERENCE, exactly=True)

    assert totals.hour == UpDown(90 * SECOND, HOUR - 90 * SECOND)
    assert totals.week == UpDown(90 * SECOND, WEEK - 90 * SECOND)


# grid           -2 min          -1 min         reference
#                  |               |               |
# active at        x................................     2 minutes
#                   x...............................     1: the point before saw the default
#                                  x................     1
#                                   x...............     0
#                                                  x     0: at the reference itself
@pytest.mark.parametrize(
    ("poll", "minutes"),
    [(-2 * MINUTE, 2), (-2 * MINUTE + 1, 1), (-MINUTE, 1), (-MINUTE + 1, 0), (0, 0)],
)
def test_a_poll_holds_from_its_own_instant(poll: int, minutes: int) -> None:
    totals = figures([], CHICAGO, [(REFERENCE + poll, True)], REFERENCE)

    assert totals.hour == UpDown(minutes, 60 - minutes)


# - 7 d - lookback                - 7 d                       reference
#         x - - - - - - - - - - - - |=== active ================|    at the edge: counts
#        x                          |... default ...............|    1 µs earlier: does not
@pytest.mark.parametrize("lookback", [0, HOUR, 3 * DAY])
def test_the_lookback_includes_its_first_instant(lookback: int) -> None:
    oldest = REFERENCE - WEEK - lookback

    inside = week_of([], CHICAGO, [(oldest, True)], REFERENCE, lookback=lookback)
    outside = week_of([], CHICAGO, [(oldest - 1, True)], REFERENCE, lookback=lookback)

    assert (split(inside, inside.start, inside.end), inside.poll_counts()) == (
        UpDown(10_080, 0),
        [1],
    )
    assert (split(outside, inside.start, inside.end), outside.poll_counts()) == (
        UpDown(0, 10_080),
        [0],
    )


def test_polls_counted_are_those_from_the_lookback_to_the_reference() -> None:
    oldest = REFERENCE - WEEK - HOUR
    instants = [oldest - 1, oldest, REFERENCE - DAY, REFERENCE, REFERENCE + 1]

    assert week_of([], CHICAGO, [(t, True) for t in instants], REFERENCE).poll_counts() == [3]


def test_a_poll_older_than_the_lookback_does_not_count_beside_a_newer_one() -> None:
    polls = [(REFERENCE - WEEK - 2 * HOUR, True), (REFERENCE - DAY, False)]

    assert figures([], CHICAGO, polls, REFERENCE).week == UpDown(0, 10_080)


# -1 h                       reference
# |===========|..............|              the day and the week hold the hour's figures
# x active    x inactive, -40 min
def test_windows_are_nested() -> None:
    polls = [(REFERENCE - HOUR, True), (REFERENCE - 40 * MINUTE, False)]

    totals = figures([], CHICAGO, polls, REFERENCE)

    assert [totals.hour.up, totals.day.up, totals.week.up] == [20, 20, 20]
    assert [totals.hour.down, totals.day.down, totals.week.down] == [40, 1420, 10_060]


# status   ....|=======|...|=====================|..........
# open       [====)     [====)   [=========)         [====)
# up          |===)         |)   [=========)
def test_status_runs_against_opening_intervals() -> None:
    # Monday 2024-10-14 in Chicago, CDT: 06:00 is 11:00Z
    rows = [
        (MONDAY, "06:00", "06:10"),
        (MONDAY, "06:20", "06:30"),
        (MONDAY, "06:40", "06:50"),
        (MONDAY, "06:57", "06:59"),
    ]
    at = parse_instant("2024-10-14T11:00")
    polls = [(3, True), (15, False), (28, True), (55, False)]

    totals = figures(rows, CHICAGO, [(at + m * MINUTE, up) for m, up in polls], at + HOUR)

    assert totals.hour == UpDown(7 + 2 + 10, 3 + 8 + 2)


# Lord Howe, Sunday 2024-04-07: clocks go from 02:00 back to 01:30
def test_half_an_hour_is_repeated_at_lord_howe() -> None:
    reference = parse_instant("2024-04-07T12:00")

    totals = figures([(6, "01:00", "02:30")], "Australia/Lord_Howe", [], reference)

    assert totals.day == UpDown(0, 120)


# Apia: Thursday 2011-12-29 was followed by Saturday the 31st
#
#   UTC    12-25 00       12-30 10       01-01 00
#   local  Sat 14 (-10 h)   Fri|Sat (+14 h)   Sun 14
#          | 10 h | Sun .. Thu  | 24 h |  14 h  |
def test_a_day_that_apia_skipped_counts_nothing() -> None:
    reference = parse_instant("2012-01-01T00:00")
    whole = [1440] * 7
    on = {
        day: figures([(day, "00:00", "24:00")], "Pacific/Apia", [], reference) for day in range(7)
    }

    assert [on[day].week.down for day in range(7)] == [*whole[:4], 0, 600 + 1440, 1440 + 840]


# Casablanca: clocks go back for Ramadan (2024-03-10, 03:00 to 02:00) and forward after it
@pytest.mark.parametrize(("date", "minutes"), [("2024-03-10", 180), ("2024-04-14", 60)])
def test_ramadan_at_casablanca(date: str, minutes: int) -> None:
    reference = parse_instant(f"{date}T20:00")

    totals = figures([(6, "02:00", "04:00")], "Africa/Casablanca", [], reference)

    assert totals.day == UpDown(0, minutes)


# Santiago, southern: midnight of Sunday 2024-09-08 was skipped
def test_a_skipped_midnight_in_the_south() -> None:
    reference = parse_instant("2024-09-08T20:00")

    totals = figures([(5, "23:00", "02:00")], "America/Santiago", [], reference)

    assert totals.day == UpDown(0, 120)


def test_times_of_day_at_the_utc_side_of_the_week() -> None:
    # Kiritimati is UTC+14: Monday 00:00 there is Sunday 10:00Z
    reference = parse_instant("2024-10-13T11:00")

    totals = figures([(MONDAY, "00:00", "00:30")], "Pacific/Kiritimati", [], reference)

    assert totals.hour == UpDown(0, 30)


@pytest.mark.parametrize(
    ("polls", "default_active", "expected"),
    [
        ([], True, [(0, 100)]),
        ([], False, []),
        ([(10, True), (20, True), (30, False), (40, False)], False, [(10, 30)]),  # runs collapse
        ([(10, True), (20, True)], True, [(0, 100)]),
        ([(10, False), (20, True)], True, [(0, 10), (20, 100)]),
        ([(-5, True), (0, False)], True, []),  # at the start: the newest of those at or before
        ([(0, True), (100, False), (120, True)], False, [(0, 100)]),  # at the end: too late
        ([(99, True)], False, [(99, 100)]),
        ([(-9, False), (-5, True)], False, [(0, 100)]),
    ],
)
def test_the_newest_poll_decides_which_intervals_are_active(
    polls: list[Poll], default_active: bool, expected: list[tuple[int, int]]
) -> None:
    intervals = active_intervals(poll_set(polls), 0, 100, default_active=default_active)

    assert intervals == expected


def test_active_intervals_of_an_empty_span() -> None:
    assert active_intervals(array("q"), 5, 5, default_active=True) == []
