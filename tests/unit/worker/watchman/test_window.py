"""The watchman compares a time of which both the topics and the table have every poll."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from stream_app.domain.timestamps import DAY, HOUR, MINUTE, WEEK
from stream_app.settings import Settings
from stream_app.worker.watchman.window import MIN_SPAN, Window, choose_window, complete_from

SETTINGS = Settings.from_environment({}, lookback=HOUR, retention=30 * DAY)
NOW = 2_000 * WEEK


def chosen(known: int, newest: int, *polls: int, seed: int = 0) -> Window | None:
    return choose_window(SETTINGS, known, newest, polls, Random(seed))


def earliest_poll(window: Window) -> int:
    """Return the oldest instant at which a poll changes the report."""
    start, _ = window.spec.span(window.reference)
    return start - window.settings.lookback


def test_a_partition_that_is_read_whole_lacks_no_poll() -> None:
    assert complete_from(NOW, 0, 5 * MINUTE) == 0


def test_unread_records_may_have_polls_that_are_dated_ahead_of_their_record() -> None:
    assert complete_from(NOW, 7, 5 * MINUTE) == NOW + 6 * MINUTE


def test_the_three_windows_are_compared_where_all_their_polls_are_known() -> None:
    window = chosen(0, NOW)
    assert window is not None
    assert window.spec.windows
    assert window.reference == NOW
    assert window.settings == SETTINGS


def test_a_shorter_span_without_lookback_is_compared_where_less_is_known() -> None:
    window = chosen(NOW - DAY, NOW)
    assert window is not None
    assert earliest_poll(window) == NOW - DAY
    assert window.settings.lookback == 0


def test_nothing_is_compared_where_too_little_is_known() -> None:
    assert chosen(NOW - MIN_SPAN + 1, NOW) is None


@given(
    known=st.one_of(st.just(0), st.integers(NOW - 20 * DAY, NOW + DAY)),
    newest=st.integers(NOW - 10 * DAY, NOW),
    polls=st.lists(st.integers(NOW - 60 * DAY, NOW), max_size=5),
    seed=st.integers(0, 1000),
)
def test_no_comparison_needs_polls_that_may_be_missing(
    known: int, newest: int, polls: list[int], seed: int
) -> None:
    window = chosen(known, newest, *polls, seed=seed)
    if window is not None:
        assert earliest_poll(window) >= max(known, newest - SETTINGS.retention)
        assert window.reference <= newest
        start, _ = window.spec.span(window.reference)
        assert MIN_SPAN <= window.reference - start <= WEEK
