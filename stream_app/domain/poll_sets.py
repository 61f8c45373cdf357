"""The poll sets of many stores in one array, store after store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from stream_app.domain.polls import from_bytes, to_bytes

if TYPE_CHECKING:
    from array import array
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

Integers: TypeAlias = "NDArray[np.int64]"
Flags: TypeAlias = "NDArray[np.bool_]"


def are_first_of_instant(polls: Integers) -> Flags:
    """Return which of some sorted polls count: of two at one instant the first, which is inactive.

    Args:
        polls: packed as `polls.poll_set` has them.
    """
    first = np.ones(len(polls), dtype=bool)
    first[1:] = polls[1:] >> 1 != polls[:-1] >> 1
    return first


@dataclass(frozen=True, slots=True)
class PollSets:
    """The poll sets of some stores, which are numbered from 0.

    Attributes:
        bounds: the index at which the set of each store begins, and the end of the last one.
        packed: the polls as `polls.poll_set` packs them.
    """

    bounds: Integers
    packed: Integers

    @classmethod
    def of_sets(cls, sets: Iterable[array[int]]) -> PollSets:
        """Join the sets of several stores, one set for each store."""
        return cls.of_bytes([to_bytes(polls) for polls in sets])

    @classmethod
    def of_bytes(cls, contents: Sequence[bytes]) -> PollSets:
        """Join the sets of several stores, any number for each store; they may overlap.

        Args:
            contents: for each store its sets, one behind the other, as `polls.to_bytes` writes
                them. They cost less where they follow each other in time.
        """
        packed = np.frombuffer(b"".join(contents), dtype="<i8")
        ends = np.cumsum([0, *map(len, contents)], dtype=np.int64)
        joined = cls(ends // packed.itemsize, packed)
        # a step of 1 may be from the inactive to the active poll of one instant
        positions = np.flatnonzero(packed[1:] - packed[:-1] <= 1) + 1
        stores = joined.stores_at(positions)
        # the first poll of a store may be earlier than the last one of the store before it
        unordered = stores[joined.bounds[stores] != positions]
        return joined._with_sorted(unordered.tolist()) if len(unordered) else joined

    def __len__(self) -> int:
        """Return the number of stores."""
        return len(self.bounds) - 1

    def counts(self) -> Integers:
        """Return the number of polls of each store."""
        counts: Integers = self.bounds[1:] - self.bounds[:-1]
        return counts

    def stores_at(self, positions: Integers) -> Integers:
        """Return the numbers of the stores whose polls are at some positions of the array."""
        stores: Integers = self.bounds.searchsorted(positions, side="right") - 1
        return stores

    def newest(self) -> int:
        """Return the instant of the newest poll of all, µs; -1 without any poll."""
        return int(self.packed.max(initial=-1)) >> 1

    def between(self, first: int, last: int) -> PollSets:
        """Return the polls in `[first, last]`, µs, both ends included."""
        inside = np.flatnonzero((self.packed >= first << 1) & (self.packed < (last + 1) << 1))
        return PollSets(inside.searchsorted(self.bounds), self.packed[inside])

    def set_of(self, store: int) -> array[int]:
        """Return the set of one store."""
        return from_bytes(self.packed[self.bounds[store] : self.bounds[store + 1]].tobytes())

    def _with_sorted(self, unordered: Iterable[int]) -> PollSets:
        """Return the same polls, with those of some stores sorted and without duplicates."""
        sets = np.split(self.packed, self.bounds[1:-1])
        for store in set(unordered):
            polls = np.sort(sets[store])
            sets[store] = polls[are_first_of_instant(polls)]
        return PollSets(np.cumsum([0, *map(len, sets)]), np.concatenate(sets))
