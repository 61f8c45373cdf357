"""Records about a partition read back from its changelog, and strange ones raise no error."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.worker.facts.partition_records import (
    MAX_LOST_RANGES,
    LostRange,
    SourcePosition,
    decode_lost,
    decode_positions,
    encode_lost,
    encode_positions,
)


def test_positions_read_back() -> None:
    positions = {"store-status": SourcePosition("id", 7), "store-timezones": SourcePosition("", 0)}

    assert decode_positions(encode_positions(positions)) == positions


def test_lost_ranges_read_back() -> None:
    ranges = [LostRange("store-status", 3, 5, 9, 1_700_000_000_000_000)]

    assert decode_lost(encode_lost(ranges)) == ranges
    assert ranges[0].describe() == {
        "topic": "store-status",
        "partition": 3,
        "first_offset": 5,
        "end_offset": 9,
    }


def test_the_oldest_of_too_many_lost_ranges_are_forgotten() -> None:
    ranges = [LostRange("store-status", 3, n, n + 1, n) for n in range(MAX_LOST_RANGES + 5)]

    assert decode_lost(encode_lost(ranges)) == ranges[5:]


def test_without_a_record_there_are_no_positions_and_no_lost_ranges() -> None:
    assert decode_positions(None) == {}
    assert decode_lost(None) == []


STRANGE = [b"{", b"7", b"null", b'"text"', b"[[1]]", b'{"a": 1}', b'{"a": ["id"]}', b"\xff", b"[7]"]


@pytest.mark.parametrize("value", STRANGE)
def test_a_value_of_another_program_counts_as_no_record(value: bytes) -> None:
    assert decode_positions(value) == {}
    assert decode_lost(value) == []


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(st.binary(max_size=30) | json_values.map(orjson.dumps))
def test_no_value_raises_an_error(value: bytes) -> None:
    assert all(type(p.offset) is int for p in decode_positions(value).values())
    assert all(type(r.first) is int for r in decode_lost(value))
