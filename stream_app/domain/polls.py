"""The polls of a store as a set, packed into 64-bit integers.

A poll is `instant << 1 | active`. A set is sorted and has one poll for each instant: where two
disagree the inactive one stays, in whatever order they came. So `union` is commutative,
associative and idempotent, and any delivery of the same polls gives the same set.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left
from itertools import chain, pairwise, repeat
from operator import rshift
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

EMPTY: Final[array[int]] = array("q")

POLL_BYTES: Final = 8
"""Bytes of one poll as `to_bytes` writes it."""

_LANE: Final = b"\1" + bytes(POLL_BYTES - 1)
_TOP_BYTE: Final = POLL_BYTES - 1
_GUARD_BIT: Final = 8 * POLL_BYTES - 1


def poll_set(polls: Iterable[tuple[int, bool]]) -> array[int]:
    """Return the set of `(instant, active)` pairs given in any order, with any duplicates."""
    return packed_set(instant << 1 | active for instant, active in polls)


def packed_set(polls: Iterable[int]) -> array[int]:
    """Return the set of packed polls given in any order, with any duplicates."""
    ordered = sorted(polls)
    # a loop in C is faster than one in Python; nearly always there is one poll an instant
    if len(set(map(rshift, ordered, repeat(1)))) == len(ordered):
        return array("q", ordered)
    # of two polls at one instant the inactive one sorts first: keep the first
    unique = array("q")
    last = -1
    for poll in ordered:
        if poll >> 1 != last:
            last = poll >> 1
            unique.append(poll)
    return unique


def union(one: array[int], other: array[int]) -> array[int]:
    """Return all polls of both sets."""
    if not one or not other:
        return one or other
    # the usual cases: a live poll, and buckets that follow each other
    if one[-1] >> 1 < other[0] >> 1:
        return one + other
    if other[-1] >> 1 < one[0] >> 1:
        return other + one
    return packed_set([*one, *other])


def union_of(all_polls: Sequence[Sequence[int]]) -> array[int]:
    """Return all polls of arrays, which are sets, and of lists, which are in any order."""
    sets = sorted((polls for polls in all_polls if isinstance(polls, array) and polls), key=_first)
    if len(sets) == len(all_polls) and all(
        one[-1] >> 1 < other[0] >> 1 for one, other in pairwise(sets)
    ):
        # the usual case: batches that follow each other are joined without a look at each poll
        return array("q", b"".join(sets))
    return packed_set(chain.from_iterable(all_polls))


def later(one: int, other: int) -> int:
    """Return the later of two packed polls; if both are of one instant, the inactive one."""
    if one >> 1 == other >> 1:
        return min(one, other)
    return max(one, other)


def since(polls: array[int], instant: int) -> array[int]:
    """Return the polls at or after an instant."""
    return polls[bisect_left(polls, instant << 1) :]


def between(polls: array[int], first: int, last: int) -> array[int]:
    """Return the polls in `[first, last]`, both ends included."""
    return polls[bisect_left(polls, first << 1) : bisect_left(polls, (last + 1) << 1)]


def without(polls: array[int], others: array[int]) -> array[int]:
    """Return the polls of a set that another one does not have."""
    left_out = set(others)
    return array("q", [poll for poll in polls if poll not in left_out]) if left_out else polls


def parts(polls: array[int], span: int) -> list[array[int]]:
    """Split a set by spans of equal length, counted from the epoch in µs; none is empty."""
    sets = []
    start = 0
    while start < len(polls):
        end_of_span = ((polls[start] >> 1) // span + 1) * span
        end = bisect_left(polls, end_of_span << 1, start)
        sets.append(polls[start:end])
        start = end
    return sets


def newest(polls: array[int]) -> int:
    """Return the instant of the newest poll of a set that is not empty."""
    return polls[-1] >> 1


def to_bytes(polls: array[int]) -> bytes:
    """Write eight bytes for each poll, little-endian on every machine."""
    if sys.byteorder == "big":
        polls = polls[:]
        polls.byteswap()
    return polls.tobytes()


def are_rising(data: bytes) -> bool:
    """Return True if `from_bytes` gives a set whose instants lie between 1970 and 3111.

    All neighbours are compared at once, as the lanes of one large integer: a loop over them takes
    three times as long.

    Args:
        data: one poll or more.
    """
    pairs = len(data) // POLL_BYTES - 1
    if data[_TOP_BYTE::POLL_BYTES].count(0) != pairs + 1:
        # a lane overflows where a number is negative or has more than 56 bits
        return False
    ones = int.from_bytes(_LANE * pairs, "little")
    guards = ones << _GUARD_BIT
    earlier = int.from_bytes(data[:-POLL_BYTES], "little")
    later = int.from_bytes(data[POLL_BYTES:], "little")
    # a lane keeps its guard bit where the later poll is at least one more than the earlier one
    # would be if it were active
    return ((later | guards) - (earlier | ones) - ones) & guards == guards


def from_bytes(data: bytes | None) -> array[int]:
    """Read what `to_bytes` wrote; None is the empty set."""
    polls = array("q")
    if data is not None:
        polls.frombytes(data)
        if sys.byteorder == "big":
            polls.byteswap()
    return polls


def _first(polls: array[int]) -> int:
    return polls[0]
