"""Groups polls into batches of one store: a batch costs a worker as many writes as one poll."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from producers.csv_replay.poll_rows import SCHEMA
from stream_app.contracts.polls import MAX_POLLS_PER_RECORD

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Batch = tuple[str, list[tuple[int, bool]]]
"""A store id with its polls `(instant in µs, active)`, at most MAX_POLLS_PER_RECORD."""


def join_polls(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Join frames of SCHEMA: each distinct poll once, ordered by store and time."""
    # status in the lowest bit: one number a poll sorts several times as fast as two columns
    key = pl.col("instant") * 2 + pl.col("active")
    by_store = (
        pl.concat([SCHEMA.to_frame(), *frames])
        .group_by("store")
        .agg(key.unique().sort().alias("key"))
        .sort("store")
        .explode("key")
    )
    return by_store.select(
        "store", instant=pl.col("key") // 2, active=(pl.col("key") % 2).cast(pl.Boolean)
    )


def batches(polls: pl.DataFrame, store_ids: Sequence[str]) -> Iterator[Batch]:
    """Cut polls into batches.

    Args:
        polls: the result of `join_polls`.
        store_ids: the id of each store number.
    """
    runs = polls["store"].rle()
    numbers = runs.struct.field("value").to_list()
    lengths = runs.struct.field("len").to_list()
    start = 0
    for number, length in zip(numbers, lengths, strict=True):
        end = start + length
        while start < end:
            count = min(end - start, MAX_POLLS_PER_RECORD)
            instants = polls["instant"].slice(start, count).to_list()
            active = polls["active"].slice(start, count).to_list()
            yield store_ids[number], list(zip(instants, active, strict=True))
            start += count


def due_count(instants: pl.Series, elapsed: float, speed: float) -> int:
    """Return the number of polls that are due at a time of a paced replay.

    Args:
        instants: µs, ascending; the first one is due at once.
        elapsed: seconds since the replay began.
        speed: seconds of event time for each second.
    """
    if instants.is_empty():
        return 0
    last = int(instants[-1])
    # an infinite speed makes all of them due
    due = min(int(instants[0]) + min(elapsed * speed * 1_000_000, last), last)
    return int(instants.search_sorted(due, side="right"))
