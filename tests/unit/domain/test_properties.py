"""Properties of the figures that hold for any timezone, hours, polls and reference time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.domain.business_hours import WeeklyHours, open_intervals
from stream_app.domain.intervals import clip, total
from stream_app.domain.report import csv_text
from stream_app.domain.timestamps import DAY, HOUR, MINUTE, WEEK
from stream_app.domain.timezones import resolve_timezone
from tests import minute_walk
from tests.strategies import LOOKBACK, Case, cases, datetime_of
from tests.unit.domain.product import by_column, figures, public_row, week_of

if TYPE_CHECKING:
    from tests.unit.domain.product import UpDown, WindowTotals

WINDOWS = {"hour": HOUR, "day": DAY, "week": WEEK}

# the walk takes 10,080 steps an example
slow = settings(max_examples=100)
usual = settings(max_examples=100)


def each_window(totals: WindowTotals) -> list[UpDown]:
    return [totals.hour, totals.day, totals.week]


@slow
@given(cases())
def test_the_closed_form_is_the_minute_walk(case: Case) -> None:
    walked = minute_walk.walk(
        case.rows,
        case.timezone_name,
        [(datetime_of(t), "active" if active else "INACTIVE") for t, active in case.polls],
        datetime_of(case.reference),
        default_status="active" if case.default_active else "inactive",
    )

    totals = figures(*case)

    assert by_column(totals) == walked
    row = public_row(week_of(*case), "a")
    assert csv_text([row]) == minute_walk.HEADER + minute_walk.csv_row("a", walked)


@usual
@given(cases(), st.booleans())
def test_up_and_down_are_the_open_time(case: Case, exactly: bool) -> None:
    totals = figures(*case, exactly=exactly)
    # all time is uptime for a store that is active by default and has no polls
    opened = figures(case.rows, case.timezone_name, [], case.reference, True, exactly=exactly)

    assert [w.up + w.down for w in each_window(totals)] == [w.up for w in each_window(opened)]
    assert all(w.up >= 0 and w.down >= 0 for w in each_window(totals))
    assert [w.down for w in each_window(opened)] == [0, 0, 0]


@usual
@given(cases(), st.booleans())
def test_hour_day_and_week_only_grow(case: Case, exactly: bool) -> None:
    hour, day, week = each_window(figures(*case, exactly=exactly))

    assert hour.up <= day.up <= week.up
    assert hour.down <= day.down <= week.down


@usual
@given(cases(), st.data())
def test_polls_are_a_set(case: Case, data: st.DataObject) -> None:
    copies = data.draw(st.lists(st.sampled_from(case.polls), max_size=5)) if case.polls else []
    shuffled = data.draw(st.permutations(case.polls + copies))

    assert figures(*case._replace(polls=shuffled)) == figures(*case)


@usual
@given(cases())
def test_polls_that_may_not_count_change_nothing(case: Case) -> None:
    oldest = case.reference - WEEK - LOOKBACK
    counted = [poll for poll in case.polls if oldest <= poll[0] <= case.reference]

    assert figures(*case._replace(polls=counted)) == figures(*case)
    assert week_of(*case).poll_counts()[0] == len({instant for instant, _ in counted})


@usual
@given(cases(), st.data())
def test_hours_are_a_set(case: Case, data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(case.rows + case.rows[:3]))

    assert figures(*case._replace(rows=shuffled)) == figures(*case)


@usual
@given(cases())
def test_the_opposite_of_every_status_swaps_up_and_down(case: Case) -> None:
    # one status an instant: of two that disagree, inactive wins on either side
    polls = dict(case.polls)
    case = case._replace(polls=list(polls.items()))
    turned = case._replace(
        polls=[(instant, not active) for instant, active in polls.items()],
        default_active=not case.default_active,
    )

    for straight, swapped in zip(
        each_window(figures(*case)), each_window(figures(*turned)), strict=True
    ):
        assert (straight.up, straight.down) == (swapped.down, swapped.up)


@usual
@given(cases(whole_minutes=True))
def test_on_whole_minutes_the_grid_is_exact(case: Case) -> None:
    grid, exact = figures(*case), figures(*case, exactly=True)

    for counted, measured in zip(each_window(grid), each_window(exact), strict=True):
        assert (counted.up * MINUTE, counted.down * MINUTE) == (measured.up, measured.down)


@usual
@given(cases())
def test_the_grid_is_off_by_less_than_a_minute_an_interval(case: Case) -> None:
    grid, exact = figures(*case), figures(*case, exactly=True)
    hours = WeeklyHours.from_rows(case.rows)
    opened = open_intervals(
        hours, resolve_timezone(case.timezone_name, ""), case.reference - WEEK, case.reference
    )
    pieces = len(opened) + len(case.polls) + 1

    for counted, measured in zip(each_window(grid), each_window(exact), strict=True):
        assert abs(counted.up * MINUTE - measured.up) <= pieces * MINUTE
        assert abs(counted.down * MINUTE - measured.down) <= pieces * MINUTE


@usual
@given(cases(), st.integers(0, WEEK))
def test_splitting_a_span_keeps_the_open_time(case: Case, part: int) -> None:
    hours = WeeklyHours.from_rows(case.rows)
    tz = resolve_timezone(case.timezone_name, "")
    start, middle, end = case.reference - WEEK, case.reference - WEEK + part, case.reference

    whole = open_intervals(hours, tz, start, end)
    before = open_intervals(hours, tz, start, middle)
    after = open_intervals(hours, tz, middle, end)

    assert total(whole) == total(before) + total(after)
    assert clip(whole, start, middle) == before
    assert clip(whole, middle, end) == after


@settings(max_examples=40)
@given(cases(), st.booleans())
def test_24_reports_of_an_hour_are_one_of_a_day_and_7_of_a_day_one_of_a_week(
    case: Case, exactly: bool
) -> None:
    # older polls would count for the earlier reference times only
    case = case._replace(polls=[p for p in case.polls if p[0] >= case.reference - WEEK - LOOKBACK])

    def back(distance: int) -> WindowTotals:
        return figures(*case._replace(reference=case.reference - distance), exactly=exactly)

    whole = back(0)
    hours = [back(hour * HOUR).hour for hour in range(24)]
    days = [back(day * DAY).day for day in range(7)]

    assert (whole.day.up, whole.day.down) == (sum(h.up for h in hours), sum(h.down for h in hours))
    assert (whole.week.up, whole.week.down) == (sum(d.up for d in days), sum(d.down for d in days))
