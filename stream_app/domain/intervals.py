"""Half-open integer intervals `(start, end)`, as sorted lists of disjoint intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Interval = tuple[int, int]


def union(intervals: Iterable[Interval]) -> list[Interval]:
    """Merge intervals, in any order and with any overlap, into the fewest disjoint ones."""
    merged: list[Interval] = []
    for start, end in sorted(intervals):
        if start >= end:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def intersect(left: Sequence[Interval], right: Sequence[Interval]) -> list[Interval]:
    """Return the time that both lists contain.

    The intervals of each list are sorted and disjoint, and so are those of the result.
    """
    common: list[Interval] = []
    left_at = right_at = 0
    left_count, right_count = len(left), len(right)
    while left_at < left_count and right_at < right_count:
        left_start, left_end = left[left_at]
        right_start, right_end = right[right_at]
        # no max() and min(): they cost three times as much, and this is the hot loop
        start = left_start if left_start > right_start else right_start
        if left_end < right_end:
            end = left_end
            left_at += 1
        else:
            end = right_end
            right_at += 1
        if start < end:
            common.append((start, end))
    return common


def clip(intervals: Iterable[Interval], start: int, end: int) -> list[Interval]:
    """Return the parts of the intervals inside `[start, end)`."""
    return [
        (max(first, start), min(last, end))
        for first, last in intervals
        if max(first, start) < min(last, end)
    ]


def shift(intervals: Iterable[Interval], distance: int) -> list[Interval]:
    """Move intervals later by a distance, or earlier by a negative one."""
    return [(start + distance, end + distance) for start, end in intervals]


def total(intervals: Iterable[Interval]) -> int:
    """Return the total length of disjoint intervals."""
    return sum(end - start for start, end in intervals)
