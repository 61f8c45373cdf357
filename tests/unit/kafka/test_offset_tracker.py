"""The offset below which all is finished, whatever order it is finished in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stream_app.kafka.offset_tracker import OffsetTracker


def test_it_stands_at_the_first_record_in_hand() -> None:
    frontier = OffsetTracker(5)
    assert (frontier.offset, frontier.idle) == (5, True)

    for offset in (5, 6, 9):
        frontier.begin(offset)
    assert (frontier.offset, frontier.idle) == (5, False)
    frontier.finish(6)
    assert frontier.offset == 5
    frontier.finish(5)
    assert frontier.offset == 9
    frontier.finish(9)
    assert (frontier.offset, frontier.idle) == (10, True)


def test_a_record_that_comes_again_moves_nothing() -> None:
    frontier = OffsetTracker(5)
    frontier.begin(5)
    frontier.finish(5)

    frontier.begin(4)
    frontier.begin(5)
    frontier.finish(17)

    assert (frontier.offset, frontier.idle) == (6, True)


def test_it_skips_forwards_only() -> None:
    frontier = OffsetTracker(5)
    frontier.skip_to(8)
    frontier.skip_to(7)
    assert frontier.offset == 8

    frontier.begin(8)
    frontier.skip_to(12)
    assert frontier.offset == 8


@given(
    st.lists(st.integers(0, 1000), unique=True, min_size=1).flatmap(
        lambda offsets: st.tuples(st.just(sorted(offsets)), st.permutations(offsets))
    )
)
def test_nothing_unfinished_is_ever_below_it(orders: tuple[list[int], list[int]]) -> None:
    begun, finished = orders
    frontier = OffsetTracker(begun[0])
    for offset in begun:
        frontier.begin(offset)

    unfinished = set(begun)
    for offset in finished:
        assert frontier.offset == min(unfinished)
        frontier.finish(offset)
        unfinished.remove(offset)
    assert frontier.offset == begun[-1] + 1


def test_the_next_offset_to_come_is_behind_all_that_was_begun_or_skipped() -> None:
    frontier = OffsetTracker(5)
    assert frontier.next_offset == 5

    frontier.begin(5, 9)
    assert (frontier.offset, frontier.next_offset) == (5, 9)
    frontier.begin(3, 4)
    frontier.begin(7, 20)
    assert frontier.next_offset == 9, "what comes again moves nothing"
    frontier.finish(5)
    frontier.skip_to(12)
    frontier.skip_to(10)
    assert (frontier.offset, frontier.next_offset) == (12, 12)
