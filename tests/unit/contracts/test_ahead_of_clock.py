"""One comparison decides at the API and in the worker which polls are ahead of the clock."""

from __future__ import annotations

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from stream_app.agents.messages import taken_at
from stream_app.contracts.records import ahead_of_clock, split_ahead
from tests.unit.contracts.hypotheses import untimed

CLOCK = 1_710_072_000_000_000  # 2024-03-10T12:00:00Z
TOLERANCE = 300_000_000

POLLS = st.lists(
    st.tuples(st.integers(CLOCK + TOLERANCE - 3, CLOCK + TOLERANCE + 3), st.booleans())
)


def test_the_tolerance_belongs_to_it() -> None:
    assert ahead_of_clock(CLOCK + TOLERANCE, CLOCK, TOLERANCE) is None
    assert ahead_of_clock(CLOCK + TOLERANCE + 1, CLOCK, TOLERANCE) == (
        "2024-03-10T12:05:00.000001Z lies ahead of the clock (2024-03-10T12:00:00Z)"
    )


@given(POLLS)
@untimed
def test_a_batch_is_judged_poll_by_poll(polls: list[tuple[int, bool]]) -> None:
    good, reasons = split_ahead(polls, CLOCK, TOLERANCE)
    judged = [(poll, ahead_of_clock(poll[0], CLOCK, TOLERANCE)) for poll in polls]
    assert good == [poll for poll, reason in judged if reason is None]
    assert reasons == [reason for _, reason in judged if reason is not None]


@given(st.integers(0, 4_102_444_800_000 - 1))
@untimed
def test_the_worker_reads_the_same_millisecond_as_the_api(milliseconds: int) -> None:
    # Faust hands seconds in a float, the produce answer milliseconds
    assert taken_at(SimpleNamespace(timestamp=milliseconds / 1000.0)) == milliseconds * 1000
