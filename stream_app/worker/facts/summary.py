"""The values that an owner has in memory of a partition, read from its restored database."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from stream_app.domain.poll_buckets import ring_of_bucket
from stream_app.domain.polls import from_bytes, later
from stream_app.worker.facts.keys import (
    HOURS_TAG,
    REMOVED_TAG,
    STORE_BYTES,
    TIMEZONE_TAG,
    bucket_of,
    decode_fact,
    decode_polls_removal,
)

if TYPE_CHECKING:
    from stream_app.contracts.removal import PollsRemoval
    from stream_app.domain.poll_buckets import Bucket
    from stream_app.worker.facts.database import FactsDatabase

_YIELD_EVERY_FACTS: Final = 2_000
"""Facts that are read before other tasks of this process have their turn."""


@dataclass(slots=True)
class PartitionSummary:
    """A summary of the stores of a partition.

    Attributes:
        stores: the 16-byte ids of its stores.
        newest_poll: µs of its newest poll; None if there is no poll.
        bucket_kinds: the kinds of buckets that its stores have.
        newest_polls: the newest poll of each store, packed.
        removals: the last removal of the polls of each store that had one.
        gone_stores: the stores that have no fact any more.
    """

    stores: set[bytes] = field(default_factory=set)
    newest_poll: int | None = None
    bucket_kinds: set[Bucket] = field(default_factory=set)
    newest_polls: dict[bytes, int] = field(default_factory=dict)
    removals: dict[bytes, PollsRemoval] = field(default_factory=dict)
    gone_stores: set[bytes] = field(default_factory=set)

    def _add(self, key: bytes, value: bytes) -> None:
        store, tag = key[:STORE_BYTES], key[STORE_BYTES:]
        bucket = bucket_of(key)
        if bucket is not None:
            if value:
                self.stores.add(store)
                self.bucket_kinds.add(ring_of_bucket(bucket))
                poll = from_bytes(value[-8:])[0]
                self.newest_polls[store] = later(poll, self.newest_polls.get(store, poll))
        elif tag == REMOVED_TAG:
            self.removals[store] = decode_polls_removal(value)
            self.gone_stores.add(store)
        elif tag in (HOURS_TAG, TIMEZONE_TAG):
            _, content = decode_fact(value)
            (self.gone_stores if content is None else self.stores).add(store)


async def summarize(database: FactsDatabase) -> PartitionSummary:
    """Summarize all facts of a database.

    Raises:
        TableError: the database cannot be read to its end.
    """
    summary = PartitionSummary()
    for count, (key, value) in enumerate(database.facts()):
        summary._add(key, value)  # noqa: SLF001  of this module
        if count % _YIELD_EVERY_FACTS == 0:
            await asyncio.sleep(0)
    summary.gone_stores -= summary.stores
    newest = max(summary.newest_polls.values(), default=None)
    summary.newest_poll = None if newest is None else newest >> 1
    return summary
