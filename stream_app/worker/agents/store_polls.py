"""The polls of a chunk by store: a store's polls of a chunk are applied at once."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from stream_app.contracts.poll_columns import decode_poll_columns
from stream_app.domain.identifiers import is_canonical
from stream_app.domain.poll_sets import are_first_of_instant
from stream_app.domain.polls import union_of
from stream_app.worker.facts.keys import store_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

IsWellDated = Callable[["NDArray[np.int64]", "NDArray[np.int64]"], "NDArray[np.bool_]"]

PollsOfRecords = list[tuple[Any, "Sequence[int]"]]
"""Records of one store in a chunk, each with its packed polls."""


@dataclass(frozen=True, slots=True)
class StorePolls:
    """The polls of one store in a chunk.

    Attributes:
        store_id: the store.
        store: its part of a key of the facts table.
        polls: the set of its polls, not empty.
        by_record: returns the records, each with its polls; called where one of them is to be
            rejected.
    """

    store_id: str
    store: bytes
    polls: array[int]
    by_record: Callable[[], PollsOfRecords]


def polls_of_records(store_id: str, records: PollsOfRecords) -> StorePolls:
    """Return the polls of one store out of records that were decoded one by one."""
    return StorePolls(
        store_id, store_key(store_id), union_of([polls for _, polls in records]), lambda: records
    )


def polls_of_columns(
    records: Sequence[Any], is_well_dated: IsWellDated, accepts: Callable[[str], bool]
) -> tuple[list[StorePolls], list[int]]:
    """Decode the single polls in records together, and group them by store.

    Args:
        records: the records of a chunk.
        is_well_dated: says of polls and of the append times of their records (ms) which are good.
        accepts: says of a store, once, whether its polls may be applied without a look at each
            record.

    Returns:
        the polls by store, and the indexes of the records that are left: to decode one by one.
    """
    columns = decode_poll_columns([record.value for record in records])
    append_times = np.fromiter((record.timestamp for record in records), np.int64, len(records))
    columns = columns.only(is_well_dated(columns.polls >> 1, append_times[columns.indexes]))
    numbers: dict[bytes, int] = {}
    stores = np.array([numbers.setdefault(each, len(numbers)) for each in columns.store_ids], int)
    names = [store_id.decode("latin-1") for store_id in numbers]
    accepted = np.array([is_canonical(name) and accepts(name) for name in names], bool)
    good = accepted[stores]
    if not good.any():
        return [], list(range(len(records)))
    groups = list(_groups(names, stores[good], columns.polls[good], columns.indexes[good], records))
    left = np.ones(len(records), bool)
    left[columns.indexes[good]] = False
    return groups, np.flatnonzero(left).tolist()


def _groups(
    names: list[str],
    stores: NDArray[Any],
    polls: NDArray[np.int64],
    indexes: NDArray[np.intp],
    records: Sequence[Any],
) -> Iterator[StorePolls]:
    """Yield the polls of each store as a set.

    Args:
        names: the stores.
        stores: for each poll, the place of its store among the names.
        polls: the polls.
        indexes: for each poll, the index of its record.
        records: the records of the chunk.
    """
    order = np.lexsort((polls, stores))
    stores, polls, indexes = stores[order], polls[order], indexes[order]
    new_store = np.ones(len(polls), bool)
    new_store[1:] = stores[1:] != stores[:-1]
    new_instant = new_store | are_first_of_instant(polls)
    everything = array("q", polls[new_instant].tobytes())
    starts = np.flatnonzero(new_store)
    ends = np.append(starts[1:], len(polls))
    set_ends = np.cumsum(new_instant)[ends - 1]
    set_start = 0
    for store, start, end, set_end in zip(
        stores[starts].tolist(), starts.tolist(), ends.tolist(), set_ends.tolist(), strict=True
    ):
        yield StorePolls(
            names[store],
            store_key(names[store]),
            everything[set_start:set_end],
            partial(_by_record, records, indexes[start:end], polls[start:end]),
        )
        set_start = set_end


def _by_record(
    records: Sequence[Any], indexes: NDArray[np.intp], polls: NDArray[np.int64]
) -> PollsOfRecords:
    """Return the records of one store in the order of their offsets, each with its poll."""
    return [
        (records[index], [poll])
        for index, poll in sorted(zip(indexes.tolist(), polls.tolist(), strict=True))
    ]
