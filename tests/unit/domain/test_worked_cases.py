"""The worked cases of "What a report means", by the closed form and by the minute walk."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import permutations
from typing import TYPE_CHECKING, Protocol

import pytest
import pytz

from stream_app.domain.report import FIGURE_NAMES
from stream_app.domain.timestamps import HOUR, MINUTE, WEEK, from_datetime, to_datetime
from tests.minute_walk import public_figures, walk
from tests.unit.domain.product import public_row, week_of

if TYPE_CHECKING:
    from tests.strategies import Poll, Row

MONDAY, TUESDAY, WEDNESDAY, THURSDAY, FRIDAY, SATURDAY, SUNDAY = range(7)
CHICAGO = "America/Chicago"


class Report(Protocol):
    """Computes the public figures of a store, which is always active unless `polls` is given."""

    def __call__(
        self,
        rows: list[Row],
        reference: int,
        polls: list[Poll] | None = None,
        timezone_name: str | None = CHICAGO,
    ) -> dict[str, float]: ...


def closed_form(
    rows: list[Row], polls: list[Poll], reference: int, timezone_name: str | None
) -> dict[str, float]:
    _, *values = public_row(week_of(rows, timezone_name, polls, reference), "a store")
    return dict(zip(FIGURE_NAMES, values, strict=True))


def minute_walk(
    rows: list[Row], polls: list[Poll], reference: int, timezone_name: str | None
) -> dict[str, float]:
    named = [(to_datetime(t), "active" if active else "inactive") for t, active in polls]
    return public_figures(walk(rows, timezone_name, named, to_datetime(reference)))


@pytest.fixture(params=[closed_form, minute_walk], ids=["closed form", "minute walk"])
def report(request: pytest.FixtureRequest) -> Report:
    def public(
        rows: list[Row],
        reference: int,
        polls: list[Poll] | None = None,
        timezone_name: str | None = CHICAGO,
    ) -> dict[str, float]:
        if polls is None:
            polls = [(reference - WEEK - 30 * MINUTE, True)]
        figures: dict[str, float] = request.param(rows, polls, reference, timezone_name)
        return figures

    return public


def utc(text: str) -> int:
    return from_datetime(datetime.fromisoformat(text + "+00:00"))


def end_of_day(date: str) -> int:
    """Return the midnight in Chicago at which that local day ends."""
    midnight = datetime.fromisoformat(date) + timedelta(days=1)
    return from_datetime(pytz.timezone(CHICAGO).localize(midnight))


# 2024-11-03: 01:00 to 02:00 CDT, then 01:00 to 02:00 CST
#
#   local  00        01        01        02        03        04        05
#   UTC    05        06        07        08        09        10        11
#          |---------|---CDT---|---CST---|---------|---------|---------|
#          [=================== 00-04 =====================)             5 h
#          [==============)    [====)                                    1.5 h + 0.5 h
#                         [====)    [============================)       0.5 h + 3.5 h
@pytest.mark.parametrize(
    ("start", "end", "hours"),
    [("00:00", "04:00", 5.0), ("00:00", "01:30", 2.0), ("01:30", "05:00", 4.0)],
)
def test_a_repeated_hour_counts_twice(report: Report, start: str, end: str, hours: float) -> None:
    figures = report([(SUNDAY, start, end)], end_of_day("2024-11-03"))

    assert figures["uptime_last_week"] == hours
    assert figures["downtime_last_week"] == 0


# 2024-03-10: 02:00 to 03:00 does not exist
#
#   local  00        01        03        04        05
#   UTC    06        07        08        09        10
#          |---CST---|---CST---|---CDT---|---CDT---|
#          [========== 00-04 ============)             3 h
#                              [=== 02:30-05 ======)   2 h
#                    [=========)                       1 h, 01-02:30
#                              )                       0,   02:15-02:45
@pytest.mark.parametrize(
    ("start", "end", "hours"),
    [
        ("00:00", "04:00", 3.0),
        ("02:30", "05:00", 2.0),
        ("01:00", "02:30", 1.0),
        ("02:15", "02:45", 0.0),
    ],
)
def test_a_skipped_hour_does_not_exist(report: Report, start: str, end: str, hours: float) -> None:
    figures = report([(SUNDAY, start, end)], end_of_day("2024-03-10"))

    assert figures["uptime_last_week"] == hours
    assert figures["downtime_last_week"] == 0


# Saturday              Sunday
# 22        24|00   01   02   03   04   05   06
# [===========|================================)   8 h on the clock, less or more the change
@pytest.mark.parametrize(("sunday", "hours"), [("2024-03-10", 7.0), ("2024-11-03", 9.0)])
def test_an_overnight_row_across_the_change(report: Report, sunday: str, hours: float) -> None:
    figures = report([(SATURDAY, "22:00", "06:00")], end_of_day(sunday))

    assert figures["uptime_last_week"] == hours


# Friday 22        24|00        01        02        03   Saturday, CDT
# UTC    03        05|          06        07        08
#        [===========|====================)
#                    |--last hour-|                      reference 06:00Z: all of it
#                              01:30 |--last hour-| 02:30   reference 07:30Z: its first half
@pytest.mark.parametrize(("time", "minutes"), [("06:00", 60), ("07:30", 30)])
def test_hours_across_midnight_in_the_last_hour(report: Report, time: str, minutes: int) -> None:
    figures = report([(FRIDAY, "22:00", "02:00")], utc(f"2024-10-12T{time}"))

    assert (figures["uptime_last_hour"], figures["downtime_last_hour"]) == (minutes, 0)


# 09   10   11   12        14             18
# [==============)
#           [==============)
#                          [==============)
#      [====)
# [==============)                            09-18: 9 h
def test_overlapping_touching_nested_and_repeated_rows_are_a_union(report: Report) -> None:
    rows = [
        (MONDAY, "09:00", "12:00"),
        (MONDAY, "11:00", "14:00"),
        (MONDAY, "14:00", "18:00"),
        (MONDAY, "10:00", "11:00"),
        (MONDAY, "09:00", "12:00"),
    ]

    figures = report(rows, end_of_day("2024-10-14"))

    assert figures["uptime_last_day"] == 9.0
    assert figures["uptime_last_week"] == 9.0


# the grid at second :18          23:58:18   23:59:18   00:00:18
# 00:00-23:59:59   ===================|==========|=====)[===|====
# 00:00-23:59      ===================|======)   |      [===|====   one point lost a day: 7 min
@pytest.mark.parametrize(("end", "hours"), [("23:59:59", 168.0), ("23:59", 167.88)])
def test_hours_that_end_before_midnight_lose_the_last_minute(
    report: Report, end: str, hours: float
) -> None:
    rows = [(day, "00:00", end) for day in range(7)]

    figures = report(rows, utc("2024-10-14T12:34:18"))

    assert figures["uptime_last_week"] == hours


# Mon  Tue  Wed  Thu  Fri  Sat  Sun
# 09-17 ..................  -    - |reference
def test_closed_on_the_weekend(report: Report) -> None:
    rows = [(day, "09:00", "17:00") for day in (MONDAY, TUESDAY, WEDNESDAY, THURSDAY, FRIDAY)]

    figures = report(rows, utc("2024-10-13T20:00"))

    assert (figures["uptime_last_day"], figures["downtime_last_day"]) == (0, 0)
    assert (figures["uptime_last_week"], figures["downtime_last_week"]) == (40.0, 0)


# -7 d                              -24 h          -3 h      -1 h    reference
# |.... default: inactive ............|..............[==== active ====|
def test_one_poll_three_hours_ago(report: Report) -> None:
    reference = utc("2024-10-14T12:34:18")

    figures = report([], reference, polls=[(reference - 3 * HOUR, True)])

    assert list(figures.values()) == [60, 3.0, 3.0, 0, 21.0, 165.0]


def test_a_known_store_without_polls(report: Report) -> None:
    figures = report([], utc("2024-10-14T12:34:18"), polls=[])

    assert list(figures.values()) == [0, 0, 0, 60, 24.0, 168.0]


# =========== active ===========| reference      x inactive, 5 min later
def test_a_poll_after_the_reference_time_changes_nothing(report: Report) -> None:
    reference = utc("2024-10-14T12:34:18")
    before = [(reference - WEEK - 30 * MINUTE, True)]

    with_later = report([], reference, polls=[*before, (reference + 5 * MINUTE, False)])

    assert with_later == report([], reference, polls=before)
    assert list(with_later.values()) == [60, 24.0, 168.0, 0, 0, 0]


# -1 h              -30 min            reference
# |==== active ========|x.. inactive ..|           both polls at -30 min: inactive wins
def test_inactive_wins_at_one_instant_in_any_order(report: Report) -> None:
    reference = utc("2024-10-14T12:34:18")
    polls = [
        (reference - WEEK - 30 * MINUTE, True),
        (reference - 30 * MINUTE, True),
        (reference - 30 * MINUTE, False),
    ]

    for order in permutations(polls):
        figures = report([], reference, polls=list(order))
        assert (figures["uptime_last_hour"], figures["downtime_last_hour"]) == (30, 30)


# 2024-11-03 has 25 hours: the last 24 of them begin at its second hour
#
#   local  00        01        01        02  ...  24 | reference
#          |---------|--------- last day ------------|
#          [=========|===================)             00-02: 3 h in the week, 2 in the day
def test_the_last_24_hours_of_a_25_hour_day_miss_its_first(report: Report) -> None:
    figures = report([(SUNDAY, "00:00", "02:00")], end_of_day("2024-11-03"))

    assert figures["uptime_last_week"] == 3.0
    assert figures["uptime_last_day"] == 2.0


# and those of a 23-hour day reach back into the day before
#
#   Saturday 23        24|00        01        03  ...  24 | reference
#            |--------------------- last day -------------|
#            [===========)                                   Sat 22-24: 1 of 2 h in the day
def test_the_last_24_hours_of_a_23_hour_day_reach_into_the_day_before(report: Report) -> None:
    figures = report([(SATURDAY, "22:00", "24:00")], end_of_day("2024-03-10"))

    assert figures["uptime_last_week"] == 2.0
    assert figures["uptime_last_day"] == 1.0


def test_an_unknown_timezone_is_chicago(report: Report) -> None:
    rows = [(SUNDAY, "00:00", "04:00")]
    reference = end_of_day("2024-11-03")

    assert report(rows, reference, timezone_name="Mars/Olympus") == report(rows, reference)
    assert report(rows, reference, timezone_name=None) == report(rows, reference)
    assert report(rows, reference, timezone_name="Asia/Tokyo") != report(rows, reference)
