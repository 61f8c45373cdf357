"""The fast way to read the product's own form of a time gives the result of the general way."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from stream_app.domain.timestamps import LATEST, format_instant, parse_instant
from stream_app.errors import RecordError


def outcome(text: str) -> Any:
    try:
        return parse_instant(text)
    except RecordError:
        return "refused"


@given(st.integers(0, LATEST - 1))
def test_a_written_instant_reads_back(instant: int) -> None:
    assert parse_instant(format_instant(instant)) == instant


@given(
    st.integers(0, LATEST - 1).map(format_instant),
    st.integers(0, 30),
    st.integers(0, 2),
    st.sampled_from(["", "+02:00", "Z", " ", "1", "-", "T", "W01", ".5", "9999"]),
)
@example("2024-01-01T00:00:00Z", 19, 0, "+02:00")
@example("2024-01-01T00:00:00Z", 19, 0, "Z")
@example("2024-01-01T00:00:00Z", 0, 4, "2100")
def test_a_final_z_is_read_as_zero_offset_however_it_is_read(
    text: str, position: int, deleted: int, inserted: str
) -> None:
    edited = text[:position] + inserted + text[position + deleted :]

    # a text with a space in front is read in the general way
    assert outcome(edited) == outcome(" " + edited)
