"""Durations are read from text and written as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.domain.timestamps import DAY, HOUR, SECOND
from stream_app.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("0s", 0),
        ("1ms", 1000),
        ("90s", 90 * SECOND),
        ("15m", 900 * SECOND),
        ("1h30m", 5400 * SECOND),
        ("7d", 7 * DAY),
        ("1D 2H 3M 4S 5MS", DAY + 2 * HOUR + 184 * SECOND + 5000),
        ("1m1m", 120 * SECOND),
    ],
)
def test_a_duration_is_read(text: str, microseconds: int) -> None:
    assert parse_duration(text) == microseconds


@pytest.mark.parametrize("text", ["", " ", "5", "h", "1.5h", "-1h", "1w", "1h-", "1h30", "inf"])
def test_a_text_that_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(text)


@given(st.integers(0, 4000 * 24 * 3600 * 1000).map(lambda milliseconds: milliseconds * 1000))
def test_a_duration_is_read_back_as_it_is_written(microseconds: int) -> None:
    assert parse_duration(format_duration(microseconds)) == microseconds
