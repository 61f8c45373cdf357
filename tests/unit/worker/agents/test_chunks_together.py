"""Records of a chunk that are decoded together have the same effects as decoded one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.contracts.packed_polls import encode_packed_batch
from stream_app.contracts.polls import decode_packed_polls, encode_poll, encode_poll_batch
from stream_app.contracts.removal import encode_removal
from stream_app.domain.polls import poll_set, to_bytes
from stream_app.domain.timestamps import DAY, HOUR, MINUTE, SECOND
from stream_app.worker.agents import chunk_writer
from tests.agent_fakes import NOW, PARTITIONS, Harness, chunk_of, store_in

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = [store_in(0, number) for number in range(4)]
STORES = st.sampled_from([*HERE, *HERE, store_in(1), store_in(2)])
INSTANTS = st.integers(-40, 2).map(lambda minutes: NOW + minutes * MINUTE) | st.sampled_from(
    [NOW - SECOND // 2, NOW + HOUR, NOW - 3 * DAY, NOW - 100 * DAY, NOW - 900 * DAY, 0, 7]
)
POLLS = st.builds(
    lambda store, instant, active: encode_poll(store, instant, active=active),
    STORES,
    INSTANTS,
    st.booleans(),
)
SINGLE_BATCHES = st.builds(
    lambda store, instant, active: encode_poll_batch(store, [(instant, active)]),
    STORES,
    INSTANTS,
    st.booleans(),
)
BATCHES = st.builds(
    encode_poll_batch, STORES, st.lists(st.tuples(INSTANTS, st.booleans()), min_size=1, max_size=5)
)
PACKED = st.builds(
    lambda store, polls: encode_packed_batch(store, poll_set(polls)),
    STORES,
    st.lists(st.tuples(INSTANTS, st.booleans()), min_size=1, max_size=40),
)
ODD = st.sampled_from(
    [
        None,
        b"{",
        b"[]",
        encode_poll(HERE[0], NOW, active=True) + b" ",
        encode_poll(HERE[1], NOW, active=False).replace(b"inactive", b"Inactive"),
        encode_poll(HERE[2], NOW, active=True).replace(b"active", b"closed"),
        encode_poll(HERE[2].upper(), NOW, active=True),
        encode_poll("x" * 36, NOW, active=True),
        orjson.dumps({"store_id": HERE[3], "polls": []}),
        orjson.dumps({"store_id": HERE[3], "polls": [[NOW, 1], ["x", 1]]}),
    ]
)
REMOVALS = st.sampled_from(HERE).map(encode_removal)
CHUNKS = st.lists(
    st.lists(POLLS | POLLS | SINGLE_BATCHES | ODD | BATCHES | PACKED, max_size=60), max_size=3
)
CHUNKS_WITH_REMOVALS = st.lists(st.lists(POLLS | POLLS | POLLS | REMOVALS, max_size=40), max_size=3)


async def outcome(chunks: list[list[bytes | None]], **overrides: Any) -> Any:
    """Apply chunks, and return the facts, the published records and the recorded calls."""
    harness = Harness(dict.fromkeys(range(PARTITIONS), ()), **overrides)
    offset = 0
    for values in filter(None, chunks):
        chunk = chunk_of(*values)
        for record in chunk.message.records:
            record.offset += offset
        chunk.message.offset += offset
        offset += len(values)
        await harness.run(chunk)
        assert chunk.acks == 1
    assert harness.failures.errors == []
    dead_letters = [
        (dead_letter.source["offset"], dead_letter.reason)
        for dead_letter in harness.publisher.dead_letters
    ]
    return (
        harness.facts.content,
        sorted(harness.facts.writes),
        sorted(dead_letters),
        harness.publisher.forwarded,
        [(applied.stores, applied.newest_poll) for applied in harness.owned_partitions.applied],
        harness.latest._newest_polls,
        harness.owned_partitions.completed,
    )


@pytest.fixture
def from_one_record_on() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunk_writer, "MIN_TOGETHER_RECORDS", 1)
        yield


async def assert_both_ways_agree(chunks: list[list[bytes | None]], **overrides: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunk_writer, "MIN_TOGETHER_RECORDS", 1)
        together = await outcome(chunks, **overrides)
        patch.setattr(chunk_writer, "MIN_TOGETHER_RECORDS", 1_000)
        assert together == await outcome(chunks, **overrides)


@given(CHUNKS)
async def test_chunks_of_good_bad_and_odd_records_are_applied_as_one_by_one(
    chunks: list[list[bytes | None]],
) -> None:
    await assert_both_ways_agree(chunks)


@given(CHUNKS_WITH_REMOVALS)
async def test_chunks_with_removals_are_applied_as_one_by_one(
    chunks: list[list[bytes | None]],
) -> None:
    await assert_both_ways_agree(chunks)


@given(CHUNKS)
async def test_of_too_many_new_stores_the_first_ones_in_the_order_of_records_are_accepted(
    chunks: list[list[bytes | None]],
) -> None:
    await assert_both_ways_agree(chunks, max_stores=2)


@pytest.mark.usefixtures("from_one_record_on")
@pytest.mark.parametrize("week_polls", [1, 3])
async def test_each_record_of_a_store_with_too_many_polls_is_checked_by_itself(
    week_polls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream_app.domain.poll_buckets.MAX_BATCH_WEEK_POLLS", week_polls)
    chunk: list[bytes | None] = [
        encode_poll(HERE[0], NOW - minute * MINUTE, active=True) for minute in range(40)
    ]
    await assert_both_ways_agree([chunk])


async def test_a_chunk_of_single_polls_is_decoded_without_a_call_for_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decoded: list[bytes | None] = []

    def decode(value: bytes | None) -> Any:
        decoded.append(value)
        return decode_packed_polls(value)

    monkeypatch.setattr(chunk_writer, "decode_packed_polls", decode)
    harness = Harness(dict.fromkeys(range(PARTITIONS), ()))
    chunk = [
        encode_poll(store, NOW - minute * MINUTE, active=minute % 3 > 0)
        for minute in range(50)
        for store in HERE
    ]

    await harness.run(chunk_of(*chunk, b"{"))

    assert decoded == [b"{"]
    assert [len(harness.polls(store)) for store in HERE] == [50] * 4
    assert [dead_letter.source["offset"] for dead_letter in harness.publisher.dead_letters] == [
        len(chunk)
    ]
    # the polls of one store in a chunk are one write for each week
    assert len(harness.facts.writes) == len(HERE)


@pytest.mark.usefixtures("from_one_record_on")
async def test_of_two_polls_at_one_instant_in_a_chunk_the_inactive_one_stays() -> None:
    harness = Harness(dict.fromkeys(range(PARTITIONS), ()))

    await harness.run(
        chunk_of(*(encode_poll(HERE[0], NOW, active=up) for up in (True, False, True)))
    )

    # the stored bytes are compared, because reading the polls would choose the inactive one itself
    assert list(harness.facts.content.values()) == [to_bytes(poll_set([(NOW, False)]))]


@pytest.mark.usefixtures("from_one_record_on")
async def test_a_store_is_written_once_where_some_of_its_records_are_decoded_one_by_one() -> None:
    harness = Harness(dict.fromkeys(range(PARTITIONS), ()))
    instants = [NOW - minute * MINUTE for minute in range(3)]

    await harness.run(
        chunk_of(
            encode_poll(HERE[0], instants[0], active=True),
            encode_poll(HERE[0], instants[1], active=True) + b" ",
            encode_poll_batch(HERE[0], [(instants[2], False)]),
        )
    )

    assert harness.polls(HERE[0]) == poll_set(list(zip(instants, [True, True, False], strict=True)))
    assert len(harness.facts.writes) == 1
