"""The poll sets of many stores in one array, store after store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stream_app.domain.polls import from_bytes, to_bytes

if TYPE_CHECKING:
    from array import array
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PollSets:
    """The polls of some stores, which are numbered from 0.

    Attributes:
        stores: for each poll the number of its store, ascending.
        packed: the polls as `polls.poll_set` packs them, a set for each store.
    """

    stores: Integers
    packed: Integers

    @classmethod
    def of_sets(cls, sets: Iterable[array[int]]) -> PollSets:
        """Join the sets of stores that have one each."""
        return cls.of_bytes([to_bytes(polls) for polls in sets])

    @classmethod
    def of_bytes(cls, contents: Sequence[bytes]) -> PollSets:
        """Join the sets of stores that have several each, which may overlap.

        Args:
            contents: for each store its sets, one behind the other, as `polls.to_bytes` writes
                them. They cost less where they follow each other in time.
        """
        packed = np.frombuffer(b"".join(contents), dtype="<i8")
        ends = np.cumsum([len(content) for content in contents], dtype=np.int64) // packed.itemsize
        starts = np.roll(ends, 1)
        starts[:1] = 0
        stores = np.repeat(np.arange(len(contents)), ends - starts)
        # a step of 1 may be from the inactive to the active poll of one instant
        unordered = np.flatnonzero(np.diff(packed) <= 1) + 1
        unordered = unordered[~np.isin(unordered, starts)]
        if len(unordered):
            stores, packed = _as_sets(stores, packed, np.isin(stores, stores[unordered]))
        return cls(stores, packed)

    def newest(self) -> int:
        """Return the instant of the newest poll of all, µs; -1 without any poll."""
        return int(self.packed.max(initial=-1)) >> 1

    def between(self, first: int, last: int) -> PollSets:
        """Return the polls in `[first, last]`, µs, both ends included."""
        inside = (self.packed >= first << 1) & (self.packed < (last + 1) << 1)
        return PollSets(self.stores[inside], self.packed[inside])

    def set_of(self, store: int) -> array[int]:
        """Return the set of one store."""
        start, end = np.searchsorted(self.stores, (store, store + 1))
        return from_bytes(self.packed[start:end].tobytes())


def _as_sets(
    stores: Integers, packed: Integers, unordered: NDArray[np.bool_]
) -> tuple[Integers, Integers]:
    """Bring the polls of some stores into their order, and keep one for each instant.

    It does for them what `polls.packed_set` does for one store.

    Args:
        stores: as in `PollSets`.
        packed: as in `PollSets`.
        unordered: the polls of these stores.
    """
    packed = packed.copy()
    order = np.lexsort((packed[unordered], stores[unordered]))
    packed[unordered] = packed[unordered][order]
    # of two polls at one instant the inactive one sorts first: keep the first
    kept = np.ones(len(packed), dtype=bool)
    kept[1:] = (stores[1:] != stores[:-1]) | (packed[1:] >> 1 != packed[:-1] >> 1)
    return stores[kept], packed[kept]
