from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.domain.intervals import Interval, clip, intersect, shift, total, union

SMALL = st.integers(-20, 20)
ANY = st.lists(st.tuples(SMALL, SMALL), max_size=10)


def points(intervals: list[Interval]) -> set[int]:
    return {point for start, end in intervals for point in range(start, end)}


@pytest.mark.parametrize(
    ("intervals", "expected"),
    [
        ([], []),
        ([(3, 3)], []),  # empty
        ([(5, 3)], []),  # turned round
        ([(1, 3), (3, 5)], [(1, 5)]),  # touching
        ([(4, 6), (1, 2)], [(1, 2), (4, 6)]),  # out of order
        ([(1, 9), (2, 3)], [(1, 9)]),  # nested
    ],
)
def test_union(intervals: list[Interval], expected: list[Interval]) -> None:
    assert union(intervals) == expected


# left    0====4   6=======10
# right      3======8   9=====12
# both       3=4   6=8  9=10
def test_intersect() -> None:
    assert intersect([(0, 4), (6, 10)], [(3, 8), (9, 12)]) == [(3, 4), (6, 8), (9, 10)]


def test_intervals_that_only_touch_have_nothing_in_common() -> None:
    assert intersect([(0, 4)], [(4, 8)]) == []


def test_clip_keeps_the_parts_inside() -> None:
    assert clip([(0, 4), (4, 6), (8, 9)], 2, 8) == [(2, 4), (4, 6)]


def test_shift_and_total() -> None:
    assert shift([(0, 4), (6, 7)], -3) == [(-3, 1), (3, 4)]
    assert total([(0, 4), (6, 7)]) == 5


@settings(max_examples=100)
@given(ANY, ANY, SMALL, SMALL)
def test_intervals_behave_as_sets_of_points(
    left: list[Interval], right: list[Interval], start: int, end: int
) -> None:
    one, other = union(left), union(right)

    assert points(one) == points(left)
    assert total(one) == len(points(left))
    assert all(earlier[1] < later[0] for earlier, later in itertools.pairwise(one))
    assert points(intersect(one, other)) == points(left) & points(right)
    assert points(clip(one, start, end)) == points(left) & set(range(start, end))
