"""Groups polls into packed batches of one store, which cost a worker as many writes as one poll."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl

from stream_app.contracts.packed_polls import encode_packed_batch
from stream_app.contracts.polls import MAX_POLLS_PER_RECORD

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PACKED_SCHEMA: Final = pl.Schema({"store": pl.UInt32, "poll": pl.Int64})
"""Columns of a frame of packed polls (12 bytes each): store number, `instant << 1 | active`."""


PART_POLLS: Final = 500_000
"""Polls of one part of a window: parts take less memory than the whole, and one is sent while the
next one is joined."""


class EncodedBatch(NamedTuple):
    """A record of `store-status` with polls of one store, at most MAX_POLLS_PER_RECORD."""

    store_id: str
    value: bytes
    polls: int


def pack(polls: pl.DataFrame) -> pl.DataFrame:
    """Make a frame of PACKED_SCHEMA from one of SCHEMA."""
    # status in the lowest bit: one number a poll sorts several times as fast as two columns
    return polls.select("store", poll=pl.col("instant") * 2 + pl.col("active"))


def join_polls(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Join frames of PACKED_SCHEMA into one: each poll once, by store and time."""
    polls = (
        pl.concat([PACKED_SCHEMA.to_frame(), *frames])
        .group_by("store")
        .agg(pl.col("poll").sort())
        .sort("store")
        .explode("poll")
    )
    repeated = _is_repeated(pl.col("poll"))
    # usually no poll is repeated, and a filter would copy all of them
    return polls.filter(~repeated) if polls.select(repeated.any()).item() else polls


def part_count(polls: int) -> int:
    """Return the number of parts in which so many polls are joined."""
    return max(1, -(-polls // PART_POLLS))


def join_part(frames: Sequence[pl.DataFrame], part: int, parts: int) -> pl.DataFrame:
    """Do what `join_polls` does, for one of several parts that have no store in common.

    Args:
        frames: frames of PACKED_SCHEMA.
        part: the number of the part, from 0.
        parts: how many parts there are.
    """
    if parts == 1:
        return join_polls(frames)
    return join_polls([frame.filter(pl.col("store") % parts == part) for frame in frames])


def batches(polls: pl.DataFrame, store_ids: Sequence[str]) -> Iterator[EncodedBatch]:
    """Cut polls into batches, and encode them.

    Args:
        polls: the result of `join_polls`, or a part of it in the same order.
        store_ids: the id of each store number.
    """
    # a packed batch holds each instant once
    second = _is_repeated(pl.col("poll") // 2)
    if polls.select(second.any()).item():
        yield from _encoded(polls.filter(~second), store_ids)
        polls = polls.filter(second)
    yield from _encoded(polls, store_ids)


def _is_repeated(number: pl.Expr) -> pl.Expr:
    """Return an expression that is true if a row has store and number of the row before it."""
    same = (number == number.shift(1)) & (pl.col("store") == pl.col("store").shift(1))
    return same.fill_null(value=False)


def _encoded(polls: pl.DataFrame, store_ids: Sequence[str]) -> Iterator[EncodedBatch]:
    runs = polls["store"].rle()
    numbers = runs.struct.field("value").to_list()
    lengths = runs.struct.field("len").to_list()
    first = 0
    for number, length in zip(numbers, lengths, strict=True):
        store_id = store_ids[number]
        end = first + length
        while first < end:
            count = min(end - first, MAX_POLLS_PER_RECORD)
            # the import of numpy alone takes as long as the lists of two million polls
            packed = array("q", polls["poll"].slice(first, count).to_list())
            yield EncodedBatch(store_id, encode_packed_batch(store_id, packed), count)
            first += count


def due_count(polls: pl.Series, elapsed: float, speed: float) -> int:
    """Return the number of polls that are due at a time of a paced replay.

    Args:
        polls: packed and ascending; those of the first instant are due at once.
        elapsed: seconds since the replay began.
        speed: seconds of event time for each second.
    """
    if polls.is_empty():
        return 0
    first, last = int(polls[0]) >> 1, int(polls[-1]) >> 1
    # an infinite speed makes all of them due
    due = int(min(first + min(elapsed * speed * 1_000_000, last), last))
    return int(polls.search_sorted(due << 1 | 1, side="right"))
