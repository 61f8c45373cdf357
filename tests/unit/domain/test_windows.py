from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.domain.timestamps import DAY, HOUR, MINUTE, SECOND, WEEK
from stream_app.domain.windows import (
    DAY_WINDOW,
    HOUR_WINDOW,
    WEEK_WINDOW,
    microsecond_reading,
    minute_reading,
)

if TYPE_CHECKING:
    from stream_app.domain.windows import Reading

REFERENCE = 1_000 * DAY + 18 * SECOND
NEAR = st.integers(-10 * MINUTE, 0).map(REFERENCE.__add__)


def between(start: int, end: int, reading: Reading) -> int:
    """Return the time in `[start, end)`."""
    time: int = reading(end, REFERENCE) - reading(start, REFERENCE)
    return time


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
def test_an_interval_counts_the_points_of_the_grid_in_it(
    start: int, end: int, expected: int
) -> None:
    assert between(REFERENCE + start, REFERENCE + end, minute_reading) == expected


@given(NEAR, NEAR)
def test_the_closed_form_is_the_definition(one: int, other: int) -> None:
    start, end = sorted((one, other))
    points = [REFERENCE - k * MINUTE for k in range(1, 12)]

    assert between(start, end, minute_reading) == sum(start <= point < end for point in points)


@given(NEAR, NEAR)
def test_exact_time_is_the_difference_of_instants(start: int, end: int) -> None:
    assert between(start, end, microsecond_reading) == end - start


@pytest.mark.parametrize("reading", [minute_reading, microsecond_reading])
@given(st.lists(NEAR, min_size=1, max_size=5))
def test_an_array_of_instants_is_read_as_each_of_them(reading: Reading, some: list[int]) -> None:
    readings = reading(np.array(some, dtype=np.int64), REFERENCE).tolist()

    assert readings == [reading(instant, REFERENCE) for instant in some]
