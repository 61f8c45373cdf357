"""What an owner keeps in memory of a partition, read from its restored database."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from stream_app.domain.buckets import kind_of
from stream_app.domain.polls import from_bytes, later
from stream_app.facts.keys import STORE_BYTES, bucket_of

if TYPE_CHECKING:
    from stream_app.domain.buckets import Bucket
    from stream_app.facts.database import FactsDatabase

_YIELD_EVERY_FACTS: Final = 2_000
"""Facts that are looked at before anything else of this process runs."""


@dataclass(slots=True)
class PartitionSummary:
    """What is known of the stores of a partition.

    Attributes:
        stores: the 16-byte ids of its stores.
        newest_poll: µs of its newest poll; None: no poll.
        kinds: the kinds of buckets that its stores have.
        latest: of each store the newest poll, packed.
    """

    stores: set[bytes] = field(default_factory=set)
    newest_poll: int | None = None
    kinds: set[Bucket] = field(default_factory=set)
    latest: dict[bytes, int] = field(default_factory=dict)


async def summarize(database: FactsDatabase) -> PartitionSummary:
    """Look at all facts of a database.

    Raises:
        TableError: the database cannot be read to its end.
    """
    summary = PartitionSummary()
    for count, (key, value) in enumerate(database.facts()):
        store = key[:STORE_BYTES]
        summary.stores.add(store)
        bucket = bucket_of(key)
        if bucket is not None and value:
            summary.kinds.add(kind_of(bucket))
            poll = from_bytes(value[-8:])[0]
            summary.latest[store] = later(poll, summary.latest.get(store, poll))
        if count % _YIELD_EVERY_FACTS == 0:
            await asyncio.sleep(0)
    newest = max(summary.latest.values(), default=None)
    summary.newest_poll = None if newest is None else newest >> 1
    return summary
