"""Chunks of records: consecutive records of one partition that an agent gets as one event.

Handing one event from Faust's consumer to its agent costs about a tenth of a millisecond, for a
single record as for a chunk.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAX_CHUNK_RECORDS: Final = 20_000
"""Most records of one chunk: single polls are applied in about 20 ms, in which nothing else runs.

In a backlog a store has many records in a chunk, which are one write for each week.
"""

MAX_CHUNK_BYTES: Final = 2 << 20
"""Most bytes of the values of one chunk; a single record may have more.

So many bytes of batches are applied in 60 ms where they are JSON, and in 40 ms where they are
packed.
"""


class RecordChunk:
    """Consecutive records of a partition, one at least, with offsets that rise."""

    __slots__ = ("records",)

    def __init__(self, records: Sequence[Any]) -> None:
        self.records = records


def split_into_chunks(records: Sequence[Any]) -> Iterator[RecordChunk]:
    """Yield the records of a partition in the order of their offsets, in chunks."""
    # where each record begins in the bytes of all values
    starts = [0, *accumulate([len(record.value or b"") for record in records])]
    start = 0
    while start < len(records):
        max_end = min(start + MAX_CHUNK_RECORDS, len(records))
        end = bisect_right(starts, starts[start] + MAX_CHUNK_BYTES, start + 2, max_end + 1) - 1
        yield RecordChunk(records[start:end])
        start = end
