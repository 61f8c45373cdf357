"""Stores that report themselves, with the troubles that real ones have.

Pure: what a store does at a moment follows from the seed, the store and the moment alone. So
the same seed gives the same pings, and a second run goes on with the stores of the first.

Each store has a grid of its own: a phase, and a ping every so often after it. A ping is
*stamped* with what the clock of its store shows, which may be off, and *due* when it leaves the
store, which may be late. Of two pings of one store the older may leave later, or twice.
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
"""A store's time is divided into cycles of so many pings; each may hold one outage."""

OUTAGE_PINGS: Final = (3, 20)
"""The shortest and the longest outage of a store, in pings."""

LATE_PINGS: Final = (3, 10)
"""The shortest and the longest time that a store's line is down, in pings."""

FLAP_PINGS: Final = 2
"""A flapping store may change its status every so many pings."""

SKEW: Final = 2 * MINUTE
"""Clocks that are off are off by so much at the most, this way or that ..."""

BROKEN_SHARE: Final = 0.2
"""... but for this share of them: those run so far ahead that their polls are refused."""

BROKEN_AHEAD: Final = (5 * MINUTE, HOUR)
"""How much further ahead than the tolerance those are."""

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

# what a number drawn from the seed is for, so that no two draws are the same
_ID_HIGH, _ID_LOW, _PHASE, _HOURS, _ZONE = range(5)
_OUTAGE, _OUTAGE_SIZE, _FLAP, _LINE, _LINE_SIZE, _TWICE, _SKEW_SIZE = range(5, 12)
_FLAPS, _SKEWED, _BROKEN = range(12, 15)


@dataclass(frozen=True, slots=True)
class Trouble:
    """How much goes wrong; shares from 0 to 1.

    Attributes:
        outages: of the stores, those that have an outage in a cycle of CYCLE_PINGS.
        flapping: of the stores, those that come and go all the time.
        skewed: of the stores, those whose clocks are off.
        late: of the stores, those whose line is down for a while in a cycle.
        duplicates: of the pings, those that are sent twice.
    """

    outages: float = 0.2
    flapping: float = 0.02
    skewed: float = 0.05
    late: float = 0.1
    duplicates: float = 0.01


NO_TROUBLE: Final = Trouble(0.0, 0.0, 0.0, 0.0, 0.0)


class Ping(NamedTuple):
    """One ping; instants in µs.

    Attributes:
        due: when it leaves the store.
        store: number of the store, from 0.
        instant: the time that it is stamped with.
        active: the status that it reports.
    """

    due: int
    store: int
    instant: int
    active: bool


class Simulation:
    """N stores.

    Args:
        stores: how many, at least 1.
        every: µs between two pings of a store.
        seed: any whole number.
        trouble: what goes wrong.
        tolerance: µs; how far ahead of the clock the product lets polls be dated.

    Attributes:
        store_ids: the id of each store; those of fewer stores are the first of more.
    """

    def __init__(
        self,
        stores: int,
        every: int,
        *,
        seed: int = 1,
        trouble: Trouble = NO_TROUBLE,
        tolerance: int = 5 * MINUTE,
    ) -> None:
        if stores < 1 or every < 1:
            raise ValueError("at least one store, and at least a microsecond between its pings")
        self.every = every
        self.trouble = trouble
        self._seed = _mix(seed & _MASK)
        self._tolerance = tolerance
        self.store_ids = [self._store_id(store) for store in range(stores)]
        self._phases = [self._draw(_PHASE, store) % every for store in range(stores)]
        self._skews = [self._skew_of(store) for store in range(stores)]
        self._flapping = [self._has(_FLAPS, store, trouble.flapping) for store in range(stores)]

    def pings(self, start: int) -> Iterator[Ping]:
        """All pings of the grid points at `start` and later, for ever, as they become due."""
        every = self.every
        # between two rounds all stores ping once, in the order of their phases
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
                    self._leaves(store, slot), store, at + self._skews[store], self.up(store, slot)
                )
                if ping.due == at:
                    yield ping
                else:
                    heappush(waiting, ping)
                if self._chance(self.trouble.duplicates, _TWICE, store, slot):
                    again = ping.due + 1 + self._draw(_TWICE, store, slot, 1) % every
                    heappush(waiting, ping._replace(due=again))
            slot += 1

    def up(self, store: int, slot: int) -> bool:
        """Whether a store is up at a point of its grid: `slot * every` after its phase."""
        if self._flapping[store]:
            return self._draw(_FLAP, store, slot // FLAP_PINGS) % 2 == 0
        down = self._part_of_cycle(store, slot, self.trouble.outages, _OUTAGE, OUTAGE_PINGS)
        return down is None

    def skew(self, store: int) -> int:
        """How far ahead a store's clock is, in µs."""
        return self._skews[store]

    def phase(self, store: int) -> int:
        """Where the grid of a store lies, in µs from 0 to `every`."""
        return self._phases[store]

    def hours(self, store: int) -> list[tuple[int, str, str]]:
        """Business hours of a store as the wire has them; none for one that never closes."""
        draw = self._draw(_HOURS, store)
        kind = draw % len(_OPENING)
        days = 5 + draw // len(_OPENING) % 3
        if kind == 0:
            return []
        return [(day, _OPENING[kind], _CLOSING[kind]) for day in range(days)]

    def zone(self, store: int) -> str:
        """The time zone of a store."""
        return _ZONES[self._draw(_ZONE, store) % len(_ZONES)]

    def _leaves(self, store: int, slot: int) -> int:
        """When the ping of a grid point leaves: at once, or once the line is up again."""
        line_down = self._part_of_cycle(store, slot, self.trouble.late, _LINE, LATE_PINGS)
        return (slot if line_down is None else line_down) * self.every + self._phases[store]

    def _part_of_cycle(
        self, store: int, slot: int, share: float, what: int, pings: tuple[int, int]
    ) -> int | None:
        """The slot at which a spell that holds this slot has ended; None outside of any."""
        cycle, place = divmod(slot, CYCLE_PINGS)
        if not self._chance(share, what, store, cycle):
            return None
        shortest, longest = pings
        length = shortest + self._draw(what + 1, store, cycle) % (longest - shortest + 1)
        first = self._draw(what + 1, store, cycle, 1) % (CYCLE_PINGS - length)
        return cycle * CYCLE_PINGS + first + length if first <= place < first + length else None

    def _skew_of(self, store: int) -> int:
        if not self._has(_SKEWED, store, self.trouble.skewed):
            return 0
        draw = self._draw(_SKEW_SIZE, store)
        if self._has(_SKEWED, store, self.trouble.skewed * BROKEN_SHARE):
            least, most = BROKEN_AHEAD
            return self._tolerance + least + draw % (most - least)
        # never quite right, or it would not count as off
        size = SECOND + draw // 2 % (min(SKEW, max(self._tolerance, 2 * SECOND)) - SECOND)
        return size if draw % 2 else -size

    def _store_id(self, store: int) -> str:
        high, low = self._draw(_ID_HIGH, store), self._draw(_ID_LOW, store)
        return str(UUID(int=high << 64 | low, version=4))

    def _has(self, what: int, store: int, share: float) -> bool:
        """Whether a share of the stores holds this one: spread evenly, so few stores do too."""
        offset = self._draw(what)
        return (offset + store * _GOLDEN & _MASK) < share * (_MASK + 1)

    def _chance(self, share: float, *what: int) -> bool:
        return share > 0 and self._draw(*what) < share * (_MASK + 1)

    def _draw(self, *what: int) -> int:
        """64 bits that follow from the seed and what they are for."""
        bits = self._seed
        for number in what:
            bits = _mix(bits ^ number & _MASK)
        return bits


def _mix(bits: int) -> int:
    """SplitMix64: one step that makes neighbours unlike."""
    bits = (bits + _GOLDEN) & _MASK
    bits = (bits ^ bits >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    bits = (bits ^ bits >> 27) * 0x94D049BB133111EB & _MASK
    return bits ^ bits >> 31
