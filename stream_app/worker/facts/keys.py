"""The keys and values of the facts table, and of its changelog.

Removed hours and a removed timezone stay as a fact without content, and the removal of polls is a
fact of its own: an older record that comes later must find them.

A fact's key is the store's 16 bytes, a tag, and for polls a slot:

    <store> h            business hours: the JSON rows as they came, trimmed (encode_fact)
    <store> z            timezone name (encode_fact)
    <store> r            the record that removed its polls (encode_polls_removal)
    <store> c <slot>     the hot (0) or the warm (1) bucket of its polls   (domain.poll_buckets)
    <store> d <slot>     a cold bucket of polls

Keys shorter than a store's are about the partition itself: `CLAIM_KEY`, `POSITION_KEY` and
`LOST_KEY` stand in the changelog too, `CHECKPOINT_KEY` stands in the local database alone.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Protocol

import orjson

from stream_app.contracts.business_hours import decode_rows
from stream_app.contracts.removal import PollsRemoval
from stream_app.contracts.revisions import (
    REVISION_BYTES,
    Revision,
    decode_revision,
    encode_revision,
)
from stream_app.domain.poll_buckets import Bucket
from stream_app.domain.polls import from_bytes

if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable

STORE_BYTES: Final = 16
"""Length of a store's part of a key."""

HOURS_TAG: Final = b"h"
TIMEZONE_TAG: Final = b"z"
REMOVED_TAG: Final = b"r"
RECENT_TAG: Final = b"c"
COLD_TAG: Final = b"d"

CLAIM_KEY: Final = b"claim"
"""Key of the record that a new owner of a partition writes before it reads anything back."""

POSITION_KEY: Final = b"position"
"""Key of the source offsets up to which all facts of a partition are in its changelog."""

LOST_KEY: Final = b"lost"
"""Key of the source offsets that the log lost before a worker had read them."""

CHECKPOINT_KEY: Final = b"checkpoint"
"""Key of a database's own place in its changelog; it is in no changelog."""

PARTITION_KEYS: Final = frozenset({CLAIM_KEY, POSITION_KEY, LOST_KEY, CHECKPOINT_KEY})
"""Keys that are about the partition and not about a store."""

_POLL_BYTES: Final = 8

_WITH_REVISION: Final = b"\xff"
"""The first byte of a fact that has a revision; no UTF-8 text, as a fact without one is, has it."""

_REMOVED: Final = b"\xfe"
"""The first byte of a removed fact, which has its revision and nothing more."""


class FactsReader(Protocol):
    """Reads the facts of one partition."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key; None where there is none."""


def store_key(store_id: str) -> bytes:
    """Return the 16 bytes of a canonical store id."""
    return bytes.fromhex(store_id.replace("-", ""))


def store_id_of(store: bytes) -> str:
    """Return the canonical id of a store, from its 16 bytes."""
    digits = store.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def bucket_key(store: bytes, bucket: Bucket) -> bytes:
    """Return the key of a bucket of polls."""
    return store + (COLD_TAG if bucket.cold else RECENT_TAG) + bucket.slot.to_bytes(2)


def bucket_of(key: bytes) -> Bucket | None:
    """Return the bucket under a key; None where it holds no polls."""
    if len(key) != STORE_BYTES + 3:
        return None
    return _bucket(key[STORE_BYTES:])


@lru_cache(maxsize=4096)
def _bucket(suffix: bytes) -> Bucket:
    return Bucket(cold=suffix[:1] == COLD_TAG, slot=int.from_bytes(suffix[1:]))


def encode_fact(revision: Revision, content: bytes) -> bytes:
    """Return the value under the tag of a fact of which a store's newest record counts."""
    return _WITH_REVISION + encode_revision(revision) + content


def encode_removed(revision: Revision) -> bytes:
    """Return the value under the tag of such a fact when a record removed it."""
    return _REMOVED + encode_revision(revision)


def decode_fact(value: bytes | None) -> tuple[Revision | None, bytes | None]:
    """Read what `encode_fact` or `encode_removed` wrote, or a value of an earlier version.

    Returns:
        the revision, and the content; None for what is not there.
    """
    if value is None or value[:1] not in (_WITH_REVISION, _REMOVED):
        return None, value
    return decode_revision(value[1 : 1 + REVISION_BYTES]), fact_content(value)


def fact_content(value: bytes | None) -> bytes | None:
    """Return the content of such a fact, as `decode_fact` does, and not its revision."""
    if value is None or value[:1] not in (_WITH_REVISION, _REMOVED):
        return value
    return value[1 + REVISION_BYTES :] if value.startswith(_WITH_REVISION) else None


def encode_polls_removal(removal: PollsRemoval) -> bytes:
    """Return the value under the tag of the record that removed a store's polls."""
    return encode_fact(removal.revision, orjson.dumps([removal.append_time_ms, removal.topic_id]))


def decode_polls_removal(value: bytes) -> PollsRemoval:
    """Read what `encode_polls_removal` wrote.

    Raises:
        TypeError, ValueError: it is something else.
    """
    revision, content = decode_fact(value)
    append_time_ms, topic_id = orjson.loads(content or b"null")
    if revision is None or type(append_time_ms) is not int or not isinstance(topic_id, str):
        raise TypeError("not the removal of a store's polls")
    return PollsRemoval(revision, append_time_ms, topic_id)


def bucket_reader(facts: FactsReader, store: bytes) -> Callable[[Bucket], array[int]]:
    """Make the function by which the domain reads the buckets of polls of one store."""

    def read(bucket: Bucket) -> array[int]:
        return from_bytes(facts.get(bucket_key(store, bucket)))

    return read


def why_stray(key: bytes | None, value: bytes | None) -> str | None:
    """Return the reason why a changelog record cannot be one of the table's; None if it can.

    A client that may write to the changelog can write any record there. Such a record is skipped:
    it must not end every worker that restores the partition.
    """
    if not key:
        return "it has no key"
    if key in PARTITION_KEYS:
        return None if key != CHECKPOINT_KEY else "the key belongs to a local database"
    tag = key[STORE_BYTES : STORE_BYTES + 1]
    if tag in (RECENT_TAG, COLD_TAG) and len(key) == STORE_BYTES + 3:
        if value is not None and (not value or len(value) % _POLL_BYTES):
            return f"{len(value)} bytes are no polls"
        return None
    if len(key) != STORE_BYTES + 1 or tag not in (HOURS_TAG, TIMEZONE_TAG, REMOVED_TAG):
        return f"the key of {len(key)} bytes is none of a store's facts"
    if value is None:
        return None
    try:
        revision, content = decode_fact(value)
        if tag == REMOVED_TAG:
            decode_polls_removal(value)
        elif revision is not None and content is None:
            return None
        elif tag == HOURS_TAG:
            decode_rows(content or b"")
        else:
            (content or b"").decode()
    except (ValueError, TypeError, struct.error) as error:
        return f"the value cannot be read: {error}"
    return None
