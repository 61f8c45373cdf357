from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.contracts.watermarks import Watermark, decode_watermark, encode_watermark

marks = st.builds(
    Watermark,
    st.just("store-status"),
    st.just(3),
    st.integers(0, 5),
    st.none() | st.integers(0, 5),
)


@pytest.mark.parametrize(
    ("one", "other", "newest"), [(None, None, None), (7, None, 7), (None, 7, 7), (7, 9, 9)]
)
def test_the_newest_poll_of_two_watermarks_counts(
    one: int | None, other: int | None, newest: int | None
) -> None:
    joined = Watermark("t", 0, 1, one).joined(Watermark("t", 0, 1, other))
    assert joined.newest_poll == newest


@given(st.lists(marks, min_size=1), st.randoms(use_true_random=False))
def test_a_watermark_only_advances_in_any_order_of_records(
    received: list[Watermark], random: object
) -> None:
    joined = None
    for mark in received:
        before, joined = joined, mark.joined(joined)
        assert before is None or joined.applied >= before.applied
    shuffled = list(received)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    again = None
    for mark in [*shuffled, *shuffled]:
        again = mark.joined(again)
    assert again == joined


@pytest.mark.parametrize(
    ("before", "now", "applied", "topic_id"),
    [
        (None, None, 9, None),
        ("a", "a", 9, "a"),
        ("a", None, 9, "a"),  # an earlier version of the worker took over
        (None, "a", 3, "a"),
        ("a", "b", 3, "b"),
    ],
)
def test_offsets_of_two_topics_are_not_compared(
    before: str | None, now: str | None, applied: int, topic_id: str | None
) -> None:
    joined = Watermark("t", 0, 3, 7, now).joined(Watermark("t", 0, 9, 5, before))
    assert (joined.applied, joined.topic_id) == (applied, topic_id)


def test_a_record_without_a_topic_id_is_read() -> None:
    value = b'{"topic": "t", "partition": 0, "applied": 3, "newest_poll": null}'
    assert decode_watermark(value) == Watermark("t", 0, 3)


@pytest.mark.parametrize("newest", [None, 3])
def test_the_newest_poll_goes_back_when_its_store_is_removed(newest: int | None) -> None:
    before, after = Watermark("t", 0, 4, 7), Watermark("t", 0, 5, newest)
    assert after.joined(before) == before.joined(after) == after


def test_the_number_of_stores_is_that_of_the_later_watermark() -> None:
    before, after = Watermark("t", 0, 4, stores=7), Watermark("t", 0, 5, stores=6)
    assert after.joined(before).stores == before.joined(after).stores == 6
    assert decode_watermark(encode_watermark(after)) == after
    same = Watermark("t", 0, 5, stores=8)
    assert after.joined(same).stores == same.joined(after).stores == 8
