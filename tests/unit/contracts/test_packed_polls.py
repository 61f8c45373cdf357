"""A packed batch has the content of the JSON form, and no other bytes are read as one."""

from __future__ import annotations

from array import array
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.contracts.packed_polls import (
    MARK,
    MAX_PACKED_POLLS,
    PackedPolls,
    decode_packed_batch,
    encode_packed_batch,
    packed_batch_head,
)
from stream_app.contracts.polls import (
    MAX_POLLS_PER_RECORD,
    PollBatch,
    decode_packed_polls,
    decode_poll_batch,
    encode_poll_batch,
)
from stream_app.contracts.removal import decode_polls_removal
from stream_app.domain.polls import are_rising, poll_set, to_bytes
from stream_app.domain.timestamps import LATEST
from stream_app.errors import RecordError
from tests.unit.contracts.wire import STORE, instants, uuids

poll_lists = st.lists(st.tuples(instants, st.booleans()), min_size=1, max_size=20)
numbers = st.lists(
    st.integers(-(2**63), 2**63 - 1) | st.integers(0, 40) | instants, min_size=1, max_size=12
)


def packed(*polls: int, store_id: str = STORE) -> bytes:
    return packed_batch_head(store_id) + to_bytes(array("q", polls))


@given(uuids, poll_lists)
def test_a_packed_batch_has_the_content_of_the_json_form(
    store: str, polls: list[tuple[int, bool]]
) -> None:
    every_instant_once = poll_set(polls)
    pairs = [(poll >> 1, bool(poll & 1)) for poll in every_instant_once]
    value = encode_packed_batch(store, every_instant_once)
    assert decode_poll_batch(value) == (PollBatch(store, pairs), [])
    assert decode_poll_batch(value) == decode_poll_batch(encode_poll_batch(store, pairs))
    assert decode_packed_polls(value) == (PackedPolls(store, every_instant_once), [])


def test_the_packed_bytes_are_those_of_the_contract() -> None:
    value = encode_packed_batch(STORE, array("q", [5 << 1 | 1, 6 << 1]))
    assert value == b"\xf8\x01" + STORE.encode() + b"\x0b" + bytes(7) + b"\x0c" + bytes(7)


def test_a_poll_takes_8_bytes_where_json_takes_21() -> None:
    polls = [(1_674_000_000_000_000 + n * 3_600_000_000, True) for n in range(417)]
    assert len(encode_packed_batch(STORE, poll_set(polls))) == 38 + 8 * 417
    assert len(encode_poll_batch(STORE, polls)) == 61 + 21 * 417


@given(numbers)
def test_rising_instants_are_recognized(polls: list[int]) -> None:
    pairs = pairwise(polls)
    # the check covers only numbers of up to 56 bits
    expected = all(a >> 1 < b >> 1 for a, b in pairs) and all(0 <= n < 1 << 56 for n in polls)
    assert are_rising(array("q", polls).tobytes()) == expected


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"\xf8", "a packed batch of 1 bytes ends within its head"),
        (packed()[:-1], "a packed batch of 37 bytes ends within its head"),
        (packed(), "a packed batch of 0 polls; 1 to 65536 may be"),
        (packed(*range(0, 2 * MAX_PACKED_POLLS + 2, 2)), "of 65537 polls; 1 to 65536 may be"),
        (packed(10) + b"\0", "ends within a poll: 9 bytes are not 8 a poll"),
        (packed(10)[:-1], "ends within a poll: 7 bytes are not 8 a poll"),
        (b"\xf8\x00" + packed(10)[2:], "a packed batch of version 0; version 1 is read"),
        (b"\xf8\x02" + packed(10)[2:], "a packed batch of version 2; version 1 is read"),
        (packed(10, store_id=STORE.upper()), "not a canonical UUID: '0F5C1A3E"),
        (MARK + b"\xff" * 36 + bytes(8), "not a canonical UUID"),
        (MARK + STORE.replace("-", "").encode() + bytes(12), "not a canonical UUID"),
        (packed(12, 10), "poll 1 is of 5 µs and the one before of 6 µs"),
        (packed(10, 10), "poll 1 is of 5 µs and the one before of 5 µs"),
        (packed(10, 11), "poll 1 is of 5 µs and the one before of 5 µs"),
        (packed(-4, 10, 8), "poll 2 is of 4 µs and the one before of 5 µs"),
    ],
    ids=lambda part: part[:30] if isinstance(part, str) else None,
)
def test_bad_bytes_are_refused_with_a_reason(value: bytes, reason: str) -> None:
    with pytest.raises(RecordError) as refusal:
        decode_packed_polls(value)
    assert reason in str(refusal.value)
    assert len(str(refusal.value)) < 150
    assert "\n" not in str(refusal.value)


def test_a_batch_of_the_most_polls_is_read() -> None:
    batch, _ = decode_packed_polls(packed(*range(0, 2 * MAX_PACKED_POLLS, 2)))
    assert len(batch.polls) == MAX_PACKED_POLLS > MAX_POLLS_PER_RECORD


def test_polls_outside_the_calendar_do_not_refuse_their_neighbours() -> None:
    batch, rejected = decode_packed_polls(packed(-2, 10, LATEST << 1, 2**63 - 1))
    assert batch.polls == array("q", [10])
    assert [reason.partition(":")[0] for reason in rejected] == ["poll 0", "poll 2", "poll 3"]
    assert all("a time outside 1970 to 2100" in reason for reason in rejected)


@given(st.binary(max_size=80), st.integers(0, 90), poll_lists)
def test_any_bytes_are_read_as_a_whole_or_refused(noise: bytes, at: int, polls: Any) -> None:
    value = encode_packed_batch(STORE, poll_set(polls))
    value = value[: at % len(value)] + noise
    for text in (value, MARK + noise):
        try:
            batch, rejected = decode_packed_polls(text)
        except RecordError:
            continue
        if text[:2] == MARK:
            assert 8 * (len(batch.polls) + len(rejected)) == len(text) - 38
            assert all(0 <= poll >> 1 < LATEST for poll in batch.polls)


def test_no_json_is_read_as_a_packed_batch() -> None:
    with pytest.raises(RecordError, match="version"):
        decode_packed_batch(encode_poll_batch(STORE, [(5, True)]))


def test_a_packed_batch_is_never_a_removal() -> None:
    value = MARK + b'"removed"' + packed(10)[11:]
    assert decode_polls_removal(value) is None
    assert decode_polls_removal(packed(10)) is None
