"""Single polls that are decoded together equal those decoded one by one, or are left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import example, given
from hypothesis import strategies as st

from stream_app.contracts.packed_polls import PackedPolls
from stream_app.contracts.poll_columns import decode_poll_columns
from stream_app.contracts.polls import (
    decode_packed_polls,
    encode_poll,
    encode_poll_batch,
)
from stream_app.domain.identifiers import is_canonical
from stream_app.domain.timestamps import LATEST, SECOND

if TYPE_CHECKING:
    from collections.abc import Sequence

STORE = "97dd66d5-660c-48eb-8b5a-792c529ec4dd"
GOOD = encode_poll(STORE, 1_710_072_000 * SECOND, active=True)

instants = st.integers(0, LATEST // SECOND - 1).map(lambda seconds: seconds * SECOND) | st.integers(
    0, LATEST - 1
)
stores = st.uuids().map(str)
since_2002 = st.integers(1_009_843_200 * SECOND, LATEST - 1)
polls = st.builds(
    lambda store, instant, active: encode_poll(store, instant, active=active),
    stores,
    instants,
    st.booleans(),
) | st.builds(
    lambda *poll: encode_poll_batch(poll[0], [poll[1:]]), stores, since_2002, st.booleans()
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Draw a poll in which a few bytes are changed, mostly to bytes that polls contain."""
    value = bytearray(draw(polls))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(value) - 1))
        value[place] = draw(st.sampled_from(b'0123459aAfZ-:. "\x00\xff') | st.integers(0, 255))
    return bytes(value)


values = st.none() | st.binary(max_size=8) | polls | damaged()


def decoded(together: Sequence[bytes | None]) -> dict[int, tuple[str, int]]:
    """Return the store and the poll of each decoded value, by the value's index."""
    columns = decode_poll_columns(together)
    rows = zip(columns.indexes.tolist(), columns.store_ids, columns.polls.tolist(), strict=True)
    return {index: (store_id.decode("latin-1"), poll) for index, store_id, poll in rows}


@given(st.lists(values, max_size=30))
@example([GOOD.replace(b"2024-03-10", b"2023-02-29")])
@example([GOOD.replace(b"2024-03-10", b"2024-02-29")])
@example([GOOD.replace(b"2024-03-10", b"2100-02-28"), GOOD.replace(b"2024-03", b"0000-00")])
@example([GOOD.replace(b"T12:00:00", b"T24:00:00"), GOOD.replace(b"T12:00:00", b"T23:59:60")])
@example([GOOD.replace(b"2024-03-10", b"1969-12-31"), GOOD.replace(b"2024-03-10", b"2099-12-31")])
@example([GOOD.replace(b"-10T", b"-32T"), GOOD.replace(b"-10T", b"-00T")])
def test_values_decoded_together_equal_those_decoded_one_by_one(
    together: list[bytes | None],
) -> None:
    for index, (store_id, poll) in decoded(together).items():
        if is_canonical(store_id):
            assert decode_packed_polls(together[index]) == (PackedPolls(store_id, [poll]), [])


@given(st.lists(polls, max_size=30))
def test_all_values_of_our_producers_are_decoded_together(
    together: list[bytes],
) -> None:
    assert len(decoded(together)) == len(together)


def test_no_other_value_is_decoded_together() -> None:
    others = [
        None,
        b"",
        GOOD + b" ",
        GOOD.replace(b"active", b"ACTIVE"),
        GOOD.replace(b":", b": ", 1),
        GOOD.replace(b'00Z"', b'00z"'),
        GOOD.replace(b'Z"', b'.123Z"'),
        encode_poll_batch(STORE, [(7, True)]),
        encode_poll_batch(STORE, [(LATEST - 1, True), (LATEST - 2, True)]),
        encode_poll_batch(STORE, [(LATEST, True)]),
        encode_poll_batch(STORE, [(LATEST - 1, True)]).replace(b"[[4", b"[[0"),
        encode_poll_batch(STORE, [(LATEST - 1, True)]).replace(b",1]", b",2]"),
    ]
    assert decoded([GOOD, *others]) == {0: (STORE, 1_710_072_000 * SECOND << 1 | 1)}
