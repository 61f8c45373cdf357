"""Polls are a set: order, duplicates and batches make no difference."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream_app.domain.polls import (
    EMPTY,
    between,
    from_bytes,
    newest,
    poll_set,
    since,
    to_bytes,
    union,
)

if TYPE_CHECKING:
    from array import array

    from tests.strategies import Poll

usual = settings(max_examples=60)

# few instants, so that sets overlap and disagree
polls = st.lists(st.tuples(st.integers(0, 12), st.booleans()), max_size=12)
instants = st.integers(-1, 14)


def plain(*pairs: Poll) -> dict[int, bool]:
    """Return the set as a dictionary, in which inactive wins."""
    statuses: dict[int, bool] = {}
    for instant, active in pairs:
        statuses[instant] = statuses.get(instant, True) and active
    return statuses


def read(packed: array[int]) -> list[Poll]:
    return [(poll >> 1, bool(poll & 1)) for poll in packed]


@usual
@given(polls)
def test_a_set_is_sorted_and_inactive_wins_at_one_instant(some: list[Poll]) -> None:
    assert read(poll_set(some)) == sorted(plain(*some).items())


@usual
@given(polls, polls)
def test_union_is_commutative_and_holds_both(one: list[Poll], other: list[Poll]) -> None:
    merged = union(poll_set(one), poll_set(other))

    assert merged == union(poll_set(other), poll_set(one))
    assert merged == poll_set(one + other)


@usual
@given(polls, polls, polls)
def test_union_is_associative(a: list[Poll], b: list[Poll], c: list[Poll]) -> None:
    one, two, three = poll_set(a), poll_set(b), poll_set(c)

    assert union(union(one, two), three) == union(one, union(two, three))


@usual
@given(polls)
def test_union_is_idempotent_and_empty_is_neutral(some: list[Poll]) -> None:
    packed = poll_set(some)

    assert union(packed, packed) == union(packed, EMPTY) == union(EMPTY, packed) == packed


@usual
@given(polls, polls, st.integers(0, 3))
@example([(5, True)], [(0, False)], 0)
def test_appending_newer_polls_is_the_same_as_merging_them(
    old: list[Poll], new: list[Poll], gap: int
) -> None:
    # with gap 0 the newest old poll and the oldest new one share an instant
    last = max((instant for instant, _ in old), default=0)
    later = [(last + gap + instant, active) for instant, active in new]

    assert read(union(poll_set(old), poll_set(later))) == sorted(plain(*old, *later).items())


def test_inactive_wins_whichever_came_first() -> None:
    up, down = poll_set([(7, True)]), poll_set([(7, False)])

    assert union(up, down) == union(down, up) == poll_set([(7, True), (7, False)]) == down


@usual
@given(polls, instants, instants)
def test_between_includes_both_ends_and_since_includes_its_start(
    some: list[Poll], first: int, last: int
) -> None:
    packed = poll_set(some)

    assert read(between(packed, first, last)) == [
        poll for poll in read(packed) if first <= poll[0] <= last
    ]
    assert read(since(packed, first)) == [poll for poll in read(packed) if first <= poll[0]]


@usual
@given(polls)
def test_bytes_read_back(some: list[Poll]) -> None:
    packed = poll_set(some)

    assert from_bytes(to_bytes(packed)) == packed
    assert len(to_bytes(packed)) == 8 * len(packed)


def test_bytes_are_little_endian_on_every_machine() -> None:
    assert to_bytes(poll_set([(1, True)])) == b"\x03\0\0\0\0\0\0\0"


def test_no_bytes_are_no_polls() -> None:
    assert from_bytes(None) == EMPTY == from_bytes(b"")


def test_newest_is_the_last_instant() -> None:
    assert newest(poll_set([(9, False), (3, True)])) == 9
