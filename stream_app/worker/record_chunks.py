"""Runs of records: those of one partition that are handed out as one event.

Handing a record from Faust's consumer to its agent costs about a tenth of a millisecond, whatever
the record; a run costs that once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAX_CHUNK_RECORDS: Final = 2_000
"""Records that are applied without looking at anything else: some 20 ms. In a backlog a store has
several of so many, which are one write."""

MAX_CHUNK_BYTES: Final = 262_144
"""Of values, likewise; a single record may have more."""


class RecordChunk:
    """Consecutive records of a partition, one at least, with offsets that rise."""

    __slots__ = ("records",)

    def __init__(self, records: Sequence[Any]) -> None:
        self.records = records


def split_into_chunks(records: Sequence[Any]) -> Iterator[RecordChunk]:
    """The records of a partition in the order of their offsets, in runs."""
    start = size = 0
    for number, record in enumerate(records):
        length = len(record.value or b"")
        if number > start and (
            number - start == MAX_CHUNK_RECORDS or size + length > MAX_CHUNK_BYTES
        ):
            yield RecordChunk(records[start:number])
            start, size = number, 0
        size += length
    if start < len(records):
        yield RecordChunk(records[start:])
