"""One comparison decides, for every way into the product, which polls are too late or too early."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.contracts.polls import (
    ahead_of_clock,
    before_earliest,
    decode_poll_batch,
    split_ill_dated,
)
from stream_app.domain.timestamps import format_instant, parse_instant
from stream_app.worker.agents.messages import append_time_of
from tests.unit.contracts.wire import STORE, wire

CLOCK = 1_710_072_000_000_000  # 2024-03-10T12:00:00Z
TOLERANCE = 300_000_000

POLLS = st.lists(
    st.tuples(st.integers(CLOCK + TOLERANCE - 3, CLOCK + TOLERANCE + 3), st.booleans())
)


def test_a_poll_at_the_end_of_the_tolerance_is_accepted() -> None:
    assert ahead_of_clock(CLOCK + TOLERANCE, CLOCK, TOLERANCE) is None
    assert ahead_of_clock(CLOCK + TOLERANCE + 1, CLOCK, TOLERANCE) == (
        "2024-03-10T12:05:00.000001Z lies ahead of the clock (2024-03-10T12:00:00Z)"
    )


@given(POLLS)
def test_each_poll_of_a_batch_is_checked_by_itself(polls: list[tuple[int, bool]]) -> None:
    earliest = CLOCK + TOLERANCE - 1
    good, reasons = split_ill_dated(polls, CLOCK, TOLERANCE, earliest)
    checked = [
        (poll, before_earliest(poll[0], earliest) or ahead_of_clock(poll[0], CLOCK, TOLERANCE))
        for poll in polls
    ]
    assert good == [poll for poll, reason in checked if reason is None]
    assert reasons == [reason for _, reason in checked if reason is not None]


EARLIEST = parse_instant("2000-01-01T00:00:00Z")


@pytest.mark.parametrize(
    ("instant", "guess"),
    [
        (1_785_000_000_000, "a wrong unit? Read as milliseconds it is 2026-07-25T17:20:00Z"),
        (1_785_000_000, "a wrong unit? Read as seconds it is 2026-07-25T17:20:00Z"),
        (5_000_000, "a wrong unit, or a clock that was never set?"),
        (0, "a wrong unit, or a clock that was never set?"),
        (EARLIEST - 1, "a wrong unit, or a clock that was never set?"),
    ],
)
def test_an_implausible_time_is_refused_with_a_guess(instant: int, guess: str) -> None:
    assert before_earliest(EARLIEST, EARLIEST) is None
    assert before_earliest(instant, EARLIEST) == (
        f"{format_instant(instant)} lies before 2000-01-01T00:00:00Z "
        f"(STORE_UPTIME_EARLIEST_POLL): {guess}"
    )


def test_nanoseconds_are_guessed_too() -> None:
    value = wire({"store_id": STORE, "polls": [[1_785_000_000_000_000_000, 1]]})
    _, (reason,) = decode_poll_batch(value)
    assert reason.endswith("read as nanoseconds it is 2026-07-25T17:20:00Z")


@given(st.integers(0, 4_102_444_800_000 - 1))
def test_the_worker_reads_the_same_millisecond_as_the_api(milliseconds: int) -> None:
    # Faust gives seconds as a float, the answer to a produce request milliseconds
    assert append_time_of(SimpleNamespace(timestamp=milliseconds / 1000.0)) == milliseconds * 1000
