"""The facts table has keys for each kind of fact; other records of its changelog are stray."""

from __future__ import annotations

import pytest

from stream_app.contracts.business_hours import encode_rows
from stream_app.domain.poll_buckets import Bucket
from stream_app.domain.polls import poll_set, to_bytes
from stream_app.worker.facts.keys import (
    CHECKPOINT_KEY,
    CLAIM_KEY,
    HOURS_TAG,
    LOST_KEY,
    PARTITION_KEYS,
    POSITION_KEY,
    TIMEZONE_TAG,
    bucket_key,
    bucket_of,
    bucket_reader,
    store_key,
    why_stray,
)
from tests.agent_fakes import FakeFacts, store_in

STORE = store_key(store_in(0))
COLD = bucket_key(STORE, Bucket(cold=True, slot=7))
HOT = bucket_key(STORE, Bucket(cold=False, slot=0))


def test_every_bucket_has_a_key_of_its_own_that_begins_with_the_store() -> None:
    store = store_key(store_in(0).upper())
    buckets = [Bucket(cold=cold, slot=slot) for cold in (False, True) for slot in (0, 4, 300, 2047)]

    keys = {bucket_key(store, bucket) for bucket in buckets}

    assert len(keys) == len(buckets)
    assert all(key.startswith(store) for key in keys)
    assert [bucket_of(bucket_key(store, bucket)) for bucket in buckets] == buckets
    assert bucket_of(store + b"h") is None


def test_a_bucket_is_read_as_polls_and_a_missing_one_has_none() -> None:
    facts = FakeFacts()
    facts.content[3, COLD] = to_bytes(poll_set([(5, True), (9, False)]))
    read = bucket_reader(facts.of(3), STORE)

    assert read(Bucket(cold=True, slot=7)) == poll_set([(5, True), (9, False)])
    assert len(read(Bucket(cold=True, slot=8))) == 0


def test_no_key_of_the_partition_is_as_long_as_a_stores() -> None:
    assert max(map(len, PARTITION_KEYS)) < len(STORE)


TABLE_RECORDS = {
    "a claim": (CLAIM_KEY, b"\x00" * 16),
    "positions": (POSITION_KEY, b"{}"),
    "lost ranges": (LOST_KEY, b"[]"),
    "a cold bucket": (COLD, to_bytes(poll_set([(5, True)]))),
    "a hot bucket": (HOT, to_bytes(poll_set([(5, True), (6, False)]))),
    "hours": (STORE + HOURS_TAG, encode_rows([(0, "09:00", "17:00")])),
    "no hours": (STORE + HOURS_TAG, encode_rows([])),
    "a zone": (STORE + TIMEZONE_TAG, b"Europe/Paris"),
    "a bucket's tombstone": (COLD, None),
    "an hours' tombstone": (STORE + HOURS_TAG, None),
    "a zone's tombstone": (STORE + TIMEZONE_TAG, None),
}


@pytest.mark.parametrize(("key", "value"), TABLE_RECORDS.values(), ids=TABLE_RECORDS)
def test_a_record_of_the_table_is_no_stray(key: bytes, value: bytes | None) -> None:
    assert why_stray(key, value) is None


STRAYS = {
    "no key": (None, b"v"),
    "an empty key": (b"", b"v"),
    "a short key": (b"k", b"v"),
    "a store alone": (STORE, b"v"),
    "an unknown tag": (STORE + b"x", b"v"),
    "hours with a slot": (STORE + HOURS_TAG + b"\x00\x01", b"[]"),
    "polls without a slot": (STORE + b"c", bytes(8)),
    "polls with half a slot": (STORE + b"d\x00", bytes(8)),
    "a key that is too long": (COLD + b"\x00", bytes(8)),
    "a local key": (CHECKPOINT_KEY, b'[900, 899, ""]'),
    "polls of no bytes": (COLD, b""),
    "polls of seven bytes": (COLD, bytes(7)),
    "hours that are no JSON": (STORE + HOURS_TAG, b"{"),
    "hours that are an object": (STORE + HOURS_TAG, b'{"a": 1}'),
    "hours that are a number": (STORE + HOURS_TAG, b"7"),
    "hours of two columns": (STORE + HOURS_TAG, b'[[0, "09:00"]]'),
    "hours that are no times": (STORE + HOURS_TAG, b'[["x", 5, null]]'),
    "a zone that is no text": (STORE + TIMEZONE_TAG, b"\xff\xfe"),
    "JSON of another program": (b'{"store_id": "97dd66d5"}', b'{"polls": []}'),
}


@pytest.mark.parametrize(("key", "value"), STRAYS.values(), ids=STRAYS)
def test_a_record_of_another_program_is_stray_for_a_reason(
    key: bytes | None, value: bytes | None
) -> None:
    assert why_stray(key, value)
