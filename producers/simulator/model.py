"""A model of stores that send pings, with the faults that real stores have.

It is pure: the state of a store at an instant depends on the seed, the store and the instant
alone. So the same seed gives the same pings, and a second run goes on with the stores of the first.

Each store has a grid of its own: it sends a ping every `every` microseconds after its phase. A
ping is *stamped* with the time that the store's clock shows, which may be wrong, and it is *due*
when it leaves the store, which may be late. Of two pings of a store the older may leave later, or
twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import UUID

from stream_app.domain.timestamps import HOUR, MINUTE, SECOND

if TYPE_CHECKING:
    from collections.abc import Iterator

CYCLE_PINGS: Final = 60
"""Pings of one cycle; a store has one outage in a cycle at most."""

OUTAGE_PINGS: Final = (3, 20)
"""The shortest and the longest outage of a store, in pings."""

LATE_PINGS: Final = (3, 10)
"""The shortest and the longest outage of a store's network, in pings: they leave after it."""

FLAP_PINGS: Final = 2
"""A flapping store can change its status after this many pings."""

SKEW: Final = 2 * MINUTE
"""Largest error (µs, in both directions) of a skewed clock that is not broken."""

BROKEN_SHARE: Final = 0.2
"""Share of the skewed clocks that run so far ahead that their polls are rejected."""

BROKEN_AHEAD: Final = (5 * MINUTE, HOUR)
"""The least and the greatest time (µs) by which a broken clock exceeds the tolerance."""

_MASK: Final = (1 << 64) - 1
_GOLDEN: Final = 0x9E3779B97F4A7C15

_ZONES: Final = (
    "America/New_York",
    "America/Chicago",
    "America/Denver",
    "America/Los_Angeles",
    "Europe/London",
    "Europe/Berlin",
    "Asia/Kolkata",
    "Asia/Tokyo",
    "Australia/Sydney",
)
_OPENING: Final = ("00:00", "06:00", "07:30", "09:00", "11:00", "18:00")
_CLOSING: Final = ("24:00", "22:00", "17:00", "18:30", "23:00", "02:00")

# each number drawn from the seed has a purpose of its own, so that no two are the same
_ID_HIGH, _ID_LOW, _PHASE, _HOURS, _ZONE = range(5)
_OUTAGE, _OUTAGE_SIZE, _FLAP, _LINE, _LINE_SIZE, _TWICE, _SKEW_SIZE = range(5, 12)
_FLAPS, _SKEWED, _BROKEN = range(12, 15)


@dataclass(frozen=True, slots=True)
class FaultRates:
    """The frequency of each fault, as a share from 0 to 1.

    Attributes:
        outages: share of the stores that have an outage in a cycle of CYCLE_PINGS.
        flapping: share of the stores that go down and up all the time.
        skewed: share of the stores whose clock is wrong.
        late: share of the stores whose network is down for a while in a cycle.
        duplicates: share of the pings that are sent twice.
    """

    outages: float = 0.2
    flapping: float = 0.02
    skewed: float = 0.05
    late: float = 0.1
    duplicates: float = 0.01


NO_FAULTS: Final = FaultRates(0.0, 0.0, 0.0, 0.0, 0.0)


class Ping(NamedTuple):
    """One ping; instants in µs.

    Attributes:
        due: the time at which it leaves the store.
        store: number of the store, from 0.
        instant: the time with which it is stamped.
        active: the status that it reports.
    """

    due: int
    store: int
    instant: int
    active: bool


class Simulation:
    """Simulated stores and the pings that they send.

    Args:
        stores: number of stores, at least 1.
        every: µs between two pings of a store.
        seed: any whole number.
        faults: the frequency of each fault.
        tolerance: µs that a poll may be dated ahead of the product's clock.

    Attributes:
        store_ids: the id of each store; with more stores, the first ids are the same.
    """

    def __init__(
        self,
        stores: int,
        every: int,
        *,
        seed: int = 1,
        faults: FaultRates = NO_FAULTS,
        tolerance: int = 5 * MINUTE,
    ) -> None:
        if stores < 1 or every < 1:
            raise ValueError("at least one store, and at least a microsecond between its pings")
        self.every = every
        self.faults = faults
        self._seed = _mix(seed & _MASK)
        self._tolerance = tolerance
        self.store_ids = [self._store_id(store) for store in range(stores)]
        self._phases = [self._draw(_PHASE, store) % every for store in range(stores)]
        self._skews = [self._skew_of(store) for store in range(stores)]
        self._flapping = [self._in_share(_FLAPS, store, faults.flapping) for store in range(stores)]

    def pings(self, start: int) -> Iterator[Ping]:
        """Yield the pings from `start` (µs) on, without end, in the order in which they are due."""
        every = self.every
        # in each round all stores ping once, in the order of their phases
        order = sorted((phase, store) for store, phase in enumerate(self._phases))
        waiting: list[Ping] = []
        slot = start // every
        while True:
            for phase, store in order:
                at = slot * every + phase
                if at < start:
                    continue
                while waiting and waiting[0].due <= at:
                    yield heappop(waiting)
                ping = Ping(
                    self._departure(store, slot),
                    store,
                    at + self._skews[store],
                    self.is_up(store, slot),
                )
                if ping.due == at:
                    yield ping
                else:
                    heappush(waiting, ping)
                if self._chance(self.faults.duplicates, _TWICE, store, slot):
                    again = ping.due + 1 + self._draw(_TWICE, store, slot, 1) % every
                    heappush(waiting, ping._replace(due=again))
            slot += 1

    def is_up(self, store: int, slot: int) -> bool:
        """Return True if a store is up at the point of its grid `slot * every` after its phase."""
        if self._flapping[store]:
            return self._draw(_FLAP, store, slot // FLAP_PINGS) % 2 == 0
        down = self._end_of_outage(store, slot, self.faults.outages, _OUTAGE, OUTAGE_PINGS)
        return down is None

    def skew(self, store: int) -> int:
        """Return the time (µs) by which a store's clock is ahead."""
        return self._skews[store]

    def phase(self, store: int) -> int:
        """Return the offset of a store's grid, in µs from 0 to `every`."""
        return self._phases[store]

    def business_hours(self, store: int) -> list[tuple[int, str, str]]:
        """Return the rows of a store's business hours; no row for a store that never closes."""
        draw = self._draw(_HOURS, store)
        kind = draw % len(_OPENING)
        days = 5 + draw // len(_OPENING) % 3
        if kind == 0:
            return []
        return [(day, _OPENING[kind], _CLOSING[kind]) for day in range(days)]

    def timezone(self, store: int) -> str:
        """Return the timezone of a store."""
        return _ZONES[self._draw(_ZONE, store) % len(_ZONES)]

    def _departure(self, store: int, slot: int) -> int:
        """Return the time at which a slot's ping leaves: at once, or after a network outage."""
        network_back = self._end_of_outage(store, slot, self.faults.late, _LINE, LATE_PINGS)
        return (slot if network_back is None else network_back) * self.every + self._phases[store]

    def _end_of_outage(
        self, store: int, slot: int, share: float, purpose: int, pings: tuple[int, int]
    ) -> int | None:
        """Return the slot after the outage that contains this slot; None if there is none."""
        cycle, position = divmod(slot, CYCLE_PINGS)
        if not self._chance(share, purpose, store, cycle):
            return None
        shortest, longest = pings
        length = shortest + self._draw(purpose + 1, store, cycle) % (longest - shortest + 1)
        first = self._draw(purpose + 1, store, cycle, 1) % (CYCLE_PINGS - length)
        return cycle * CYCLE_PINGS + first + length if first <= position < first + length else None

    def _skew_of(self, store: int) -> int:
        if not self._in_share(_SKEWED, store, self.faults.skewed):
            return 0
        draw = self._draw(_SKEW_SIZE, store)
        if self._in_share(_SKEWED, store, self.faults.skewed * BROKEN_SHARE):
            minimum, maximum = BROKEN_AHEAD
            return self._tolerance + minimum + draw % (maximum - minimum)
        # at least a second, or the clock would not count as wrong
        size = SECOND + draw // 2 % (min(SKEW, max(self._tolerance, 2 * SECOND)) - SECOND)
        return size if draw % 2 else -size

    def _store_id(self, store: int) -> str:
        high, low = self._draw(_ID_HIGH, store), self._draw(_ID_LOW, store)
        return str(UUID(int=high << 64 | low, version=4))

    def _in_share(self, purpose: int, store: int, share: float) -> bool:
        """Return True if a store belongs to a share of the stores; the share is spread evenly."""
        offset = self._draw(purpose)
        return (offset + store * _GOLDEN & _MASK) < share * (_MASK + 1)

    def _chance(self, share: float, *purpose: int) -> bool:
        return share > 0 and self._draw(*purpose) < share * (_MASK + 1)

    def _draw(self, *purpose: int) -> int:
        """Return 64 bits that depend on the seed and their purpose."""
        bits = self._seed
        for number in purpose:
            bits = _mix(bits ^ number & _MASK)
        return bits


def _mix(bits: int) -> int:
    """Return one step of SplitMix64, which makes unrelated numbers from neighbouring ones."""
    bits = (bits + _GOLDEN) & _MASK
    bits = (bits ^ bits >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    bits = (bits ^ bits >> 27) * 0x94D049BB133111EB & _MASK
    return bits ^ bits >> 31
