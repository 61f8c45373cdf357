"""The position is the offset below which all records are complete, in any order of completion."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stream_app.kafka.offset_tracker import OffsetTracker


def test_the_position_is_the_first_record_in_flight() -> None:
    offset_tracker = OffsetTracker(5)
    assert (offset_tracker.position, offset_tracker.idle) == (5, True)

    for offset in (5, 6, 9):
        offset_tracker.start(offset)
    assert (offset_tracker.position, offset_tracker.idle) == (5, False)
    offset_tracker.complete(6)
    assert offset_tracker.position == 5
    offset_tracker.complete(5)
    assert offset_tracker.position == 9
    offset_tracker.complete(9)
    assert (offset_tracker.position, offset_tracker.idle) == (10, True)


def test_a_redelivered_record_moves_nothing() -> None:
    offset_tracker = OffsetTracker(5)
    offset_tracker.start(5)
    offset_tracker.complete(5)

    offset_tracker.start(4)
    offset_tracker.start(5)
    offset_tracker.complete(17)

    assert (offset_tracker.position, offset_tracker.idle) == (6, True)


def test_a_skip_moves_the_position_forwards_only() -> None:
    offset_tracker = OffsetTracker(5)
    offset_tracker.skip_to(8)
    offset_tracker.skip_to(7)
    assert offset_tracker.position == 8

    offset_tracker.start(8)
    offset_tracker.skip_to(12)
    assert offset_tracker.position == 8


@given(
    st.lists(st.integers(0, 1000), unique=True, min_size=1).flatmap(
        lambda offsets: st.tuples(st.just(sorted(offsets)), st.permutations(offsets))
    )
)
def test_no_incomplete_record_is_ever_below_the_position(
    orders: tuple[list[int], list[int]],
) -> None:
    begun, finished = orders
    offset_tracker = OffsetTracker(begun[0])
    for offset in begun:
        offset_tracker.start(offset)

    unfinished = set(begun)
    for offset in finished:
        assert offset_tracker.position == min(unfinished)
        offset_tracker.complete(offset)
        unfinished.remove(offset)
    assert offset_tracker.position == begun[-1] + 1


def test_the_next_offset_is_beyond_all_started_and_skipped_records() -> None:
    offset_tracker = OffsetTracker(5)
    assert offset_tracker.next_offset == 5

    offset_tracker.start(5, 9)
    assert (offset_tracker.position, offset_tracker.next_offset) == (5, 9)
    offset_tracker.start(3, 4)
    offset_tracker.start(7, 20)
    assert offset_tracker.next_offset == 9, "a redelivered record moves nothing"
    offset_tracker.complete(5)
    offset_tracker.skip_to(12)
    offset_tracker.skip_to(10)
    assert (offset_tracker.position, offset_tracker.next_offset) == (12, 12)
