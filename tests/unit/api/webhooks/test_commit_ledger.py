from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.webhooks.commit_ledger import MAX_OPEN_TOLD, MAX_TEXT, Ledger


def test_offsets_wait_for_the_lowest_that_is_open() -> None:
    ledger = Ledger(5)
    assert (ledger.offset, ledger.text) == (5, "")
    assert all(ledger.begin(offset) for offset in (5, 6, 7, 9))
    ledger.finish(6)
    assert (ledger.offset, ledger.text) == (5, "5:0,2,2")
    ledger.finish(5)
    assert (ledger.offset, ledger.text) == (7, "3:0,2")
    ledger.finish(7)
    ledger.finish(9)
    assert (ledger.offset, ledger.text) == (10, "")


def test_the_next_owner_takes_what_was_open_alone() -> None:
    ledger = Ledger(7, "33:0,2")
    assert [offset for offset in range(7, 42) if ledger.begin(offset)] == [7, 9, 40, 41]


def test_what_an_earlier_owner_told_is_told_on() -> None:
    ledger = Ledger(7, "33:0,2")
    assert (ledger.offset, ledger.text) == (7, "33:0,2")
    ledger.begin(7)
    assert (ledger.offset, ledger.text) == (7, "33:0,2")
    ledger.finish(7)
    assert (ledger.offset, ledger.text) == (9, "31:0")
    ledger.begin(9)
    ledger.finish(9)
    assert (ledger.offset, ledger.text) == (40, "")


@pytest.mark.parametrize(
    "text", ["", "x", "5", ":", "5:x", "5:1,", "-1:0", "9" * 99 + ":", "5:1x999999", "5:1x", "5:x3"]
)
def test_a_text_that_is_not_understood_tells_nothing(text: str) -> None:
    ledger = Ledger(3, text)
    assert all(ledger.begin(offset) for offset in range(3, 9))


def test_a_long_text_tells_its_beginning() -> None:
    ledger = Ledger(0)
    opened = {offset for offset in range(10_000) if offset * offset % 7 < 2}
    for offset in range(10_000):
        ledger.begin(offset)
        if offset not in opened:
            ledger.finish(offset)
    text = ledger.text
    assert MAX_TEXT - 20 < len(text) <= MAX_TEXT
    later = Ledger(0, text)
    taken = [offset for offset in range(10_000) if later.begin(offset)]
    assert opened <= set(taken)
    assert 1000 < 10_000 - len(taken) < 9_000


@pytest.mark.parametrize("every", [1, 2, 10])
def test_the_many_of_one_place_that_wait_are_a_short_text(every: int) -> None:
    """Behind a place that is down, what is delivered to others does not come again."""
    ledger = Ledger(0)
    end = 9_000 * every
    for offset in range(end + 5_000):
        ledger.begin(offset)
        if offset >= end or offset % every:
            ledger.finish(offset)
    assert ledger.text == f"{end + 5_000}:0,{every}x8999"
    later = Ledger(0, ledger.text)
    assert sum(later.begin(offset) for offset in range(end + 5_000)) == 9_000


def test_the_text_is_made_anew_only_where_something_happened() -> None:
    ledger = Ledger(0)
    ledger.begin(0)
    first = ledger.text
    assert ledger.text is first
    ledger.begin(1)
    assert ledger.text == "2:0,1"
    ledger.finish(1)
    assert ledger.text == "2:0"


def test_no_more_open_offsets_are_told_than_may_be_kept() -> None:
    ledger = Ledger(0)
    for offset in range(MAX_OPEN_TOLD + 500):
        ledger.begin(offset)
    assert ledger.text == f"{MAX_OPEN_TOLD}:0,1x{MAX_OPEN_TOLD - 1}"


@given(st.integers(0, 10**9), st.data())
def test_through_any_owners_all_is_done_and_nothing_committed_is_done_again(
    first: int, data: st.DataObject
) -> None:
    end = first + data.draw(st.integers(0, 30))
    offset, text = first, ""
    committed_done: set[int] = set()
    for _ in range(4):
        ledger = Ledger(offset, text)
        done = set(committed_done)
        for record in range(offset, data.draw(st.integers(offset, max(offset, end)))):
            if ledger.begin(record):
                assert record not in committed_done
                if data.draw(st.booleans()):
                    ledger.finish(record)
                    done.add(record)
        if data.draw(st.booleans()):
            offset, text, committed_done = ledger.offset, ledger.text, done
            assert set(range(first, offset)) <= committed_done
    ledger = Ledger(offset, text)
    for record in range(offset, end):
        if ledger.begin(record):
            assert record not in committed_done
            ledger.finish(record)
            committed_done.add(record)
    assert committed_done == set(range(first, end))
    assert (ledger.offset, ledger.text) == (end, "")
