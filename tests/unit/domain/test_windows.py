from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.domain.timestamps import DAY, HOUR, MINUTE, SECOND, WEEK
from stream_app.domain.windows import (
    DAY_WINDOW,
    HOUR_WINDOW,
    WEEK_WINDOW,
    exact_microseconds,
    grid_minutes,
)

if TYPE_CHECKING:
    from collections.abc import Callable

REFERENCE = 1_000 * DAY + 18 * SECOND
NEAR = st.integers(-10 * MINUTE, 2 * MINUTE).map(REFERENCE.__add__)


def test_the_windows() -> None:
    assert (HOUR_WINDOW, DAY_WINDOW, WEEK_WINDOW) == (HOUR, DAY, WEEK)


# points       -3        -2        -1         reference
#              |---------|---------|---------|
#              [=========)                        1: the start counts, the end does not
#               [=========)                       1: the point at its end is inside
#              [=========|)                       2
#               [=======)                         0: between two points
#                                  [=========)    1: the last minute
#                                   [========)    0
@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (-3 * MINUTE, -2 * MINUTE, 1),
        (-3 * MINUTE + 1, -2 * MINUTE + 1, 1),
        (-3 * MINUTE, -2 * MINUTE + 1, 2),
        (-3 * MINUTE + 1, -2 * MINUTE, 0),
        (-MINUTE, 0, 1),
        (-MINUTE + 1, 0, 0),
        (-WEEK, 0, 10_080),
    ],
)
def test_points_of_the_grid(start: int, end: int, expected: int) -> None:
    assert grid_minutes(REFERENCE + start, REFERENCE + end, REFERENCE) == expected


@pytest.mark.parametrize("measure", [grid_minutes, exact_microseconds])
@pytest.mark.parametrize(("start", "end"), [(0, 0), (5, 4), (MINUTE, 2 * MINUTE), (0, MINUTE)])
def test_nothing_lies_in_an_empty_interval_or_after_the_reference(
    measure: Callable[[int, int, int], int], start: int, end: int
) -> None:
    assert measure(REFERENCE + start, REFERENCE + end, REFERENCE) == 0


@given(NEAR, NEAR)
def test_the_closed_form_is_the_definition(start: int, end: int) -> None:
    points = [REFERENCE - k * MINUTE for k in range(1, 12)]

    assert grid_minutes(start, end, REFERENCE) == sum(start <= point < end for point in points)


@given(NEAR, NEAR)
def test_exact_time_is_what_lies_before_the_reference(start: int, end: int) -> None:
    assert exact_microseconds(start, end, REFERENCE) == max(0, min(end, REFERENCE) - start)


@pytest.mark.parametrize("measure", [grid_minutes, exact_microseconds])
@given(st.lists(NEAR, min_size=3, max_size=3).map(sorted))
def test_splitting_a_span_keeps_its_total(
    measure: Callable[[int, int, int], int], three: list[int]
) -> None:
    start, middle, end = three

    assert measure(start, end, REFERENCE) == measure(start, middle, REFERENCE) + measure(
        middle, end, REFERENCE
    )
