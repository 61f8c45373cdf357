"""The time that stores were up and down during their business hours, of many stores at once.

A figure is a difference: the time before the end of a window minus the time before its start. So
the polls and the schedule of a store are read once for any number of windows. Each array has the
values of all stores of a chunk of a report; a single store is an array of one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from stream_app.domain.open_time import OpenTimes, opening_edges
from stream_app.domain.poll_sets import PollSets
from stream_app.domain.windows import microsecond_reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stream_app.domain.poll_sets import Flags, Integers
    from stream_app.domain.store_facts import PollRules, StoreFacts
    from stream_app.domain.windows import Reading


@dataclass(frozen=True, slots=True)
class OpenTimeSplit:
    """The open time of some windows, split by status; all in the unit of a reading.

    Attributes:
        up: the part in which the store is active.
        down: the rest.
        unknown_up: the part of `up` that no poll covers.
        unknown_down: the part of `down` that no poll covers.
    """

    up: Integers
    down: Integers
    unknown_up: Integers
    unknown_down: Integers

    def __getitem__(self, window: int) -> OpenTimeSplit:
        """Return the split of one of the windows, for every store."""
        return OpenTimeSplit(
            self.up[window], self.down[window], self.unknown_up[window], self.unknown_down[window]
        )

    def added(self, first: Integers) -> OpenTimeSplit:
        """Return the sums of windows that follow each other.

        Args:
            first: for each sum the number of its first window; the sum ends where the next one
                begins.
        """
        return OpenTimeSplit(
            *(
                np.add.reduceat(amounts, first)
                for amounts in (self.up, self.down, self.unknown_up, self.unknown_down)
            )
        )

    def coverage(self) -> list[float | None]:
        """Return the share of the open time that polls cover, 0 to 1, six decimals.

        Returns:
            None for a window in which the store is never open.
        """
        opened = self.up + self.down
        covered = opened - self.unknown_up - self.unknown_down
        return [
            round(part / whole, 6) if whole else None
            for part, whole in zip(covered.tolist(), opened.tolist(), strict=True)
        ]


class Windows(NamedTuple):
    """Windows of stores; `StoreStates.split` splits their open time, in any unit.

    Attributes:
        instants: the starts, a row for each window of a store, and the ends as the last row.
        changes: for each instant the last change of the store's state at or before it.
        intervals: for each instant the last interval of its schedule that starts by then.
    """

    instants: Integers
    changes: Integers
    intervals: Integers


class StoreStates:
    """The states of stores over one span: when each is active, and when a poll covers it.

    A state lasts from one change to the next. The sums of the open time up to each change give the
    time before any instant: the sum up to the last change, and the rest from there.

    Args:
        opened: the open times of the stores' schedules, over the span.
        schedules: for each store the number of its schedule.
        polls: the polls of the stores; those that the rules do not count change nothing.
        rules: the rules by which they count.

    Attributes:
        start: start of the span, µs.
        end: end of the span, µs, from which the grid of minutes is counted back.
        polls: the polls that count: in the span and in the lookback before it.
    """

    def __init__(
        self, opened: OpenTimes, schedules: Sequence[int], polls: PollSets, rules: PollRules
    ) -> None:
        self.start = opened.start
        self.end = opened.end
        self._opened = opened
        self._schedules = np.array(schedules, dtype=np.int64)
        self._first = self.start - rules.lookback
        self._stride = self.end - self._first + 1
        self.polls = polls.between(self._first, self.end)
        self._set_changes(rules)
        self._sums: dict[Reading, tuple[Integers, Integers]] = {}

    @classmethod
    def of_facts(
        cls, facts: Iterable[StoreFacts], start: int, end: int, rules: PollRules
    ) -> StoreStates:
        """Return the states of stores over `[start, end)`, µs, each with a schedule of its own."""
        facts = list(facts)
        edges = [opening_edges(store.hours, store.tz, start, end) for store in facts]
        polls = PollSets.of_sets(store.polls for store in facts)
        return cls(OpenTimes(edges, start, end), range(len(facts)), polls, rules)

    def __len__(self) -> int:
        """Return the number of stores."""
        return len(self._schedules)

    def last_windows(self, lengths: Iterable[int]) -> Windows:
        """Return the windows of these lengths, µs, that end with the span, of every store."""
        edges = [self.end - length for length in (*lengths, 0)]
        return self._windows(np.arange(len(self)), np.array(edges, dtype=np.int64)[:, np.newaxis])

    def windows(self, stores: Integers, starts: Integers, ends: Integers) -> Windows:
        """Return windows inside the span, one row of them.

        Args:
            stores: for each window the number of its store.
            starts: for each window its start, µs.
            ends: for each window its end, µs.
        """
        return self._windows(stores, np.stack((starts, ends)))

    def split(self, windows: Windows, reading: Reading) -> OpenTimeSplit:
        """Split the open time of windows, in the unit of `minute_reading` or another reading."""
        at_changes, sums = self._sums_of(reading)
        opened = self._opened.before(windows.intervals, windows.instants, reading)
        since_change = opened - at_changes[windows.changes]
        parts = sums[:, windows.changes] + self._states[:, windows.changes] * since_change
        up, unknown, unknown_up = parts[:, -1:] - parts[:, :-1]
        return OpenTimeSplit(up, opened[-1:] - opened[:-1] - up, unknown_up, unknown - unknown_up)

    def coverage(self) -> list[float | None]:
        """Return the coverage of the whole span for every store; see `OpenTimeSplit.coverage`."""
        span = self.last_windows([self.end - self.start])
        return self.split(span, microsecond_reading)[0].coverage()

    def poll_counts(self) -> list[int]:
        """Return the number of polls that count for every store."""
        counts: list[int] = self.polls.counts().tolist()
        return counts

    def polls_in(self, stores: Integers, starts: Integers, ends: Integers) -> Integers:
        """Return the numbers of polls in windows inside the span, given as for `windows`."""
        owners = np.repeat(np.arange(len(self)), self.polls.counts())
        keys = self._keys(owners, self.polls.packed >> 1)
        first, last = keys.searchsorted(self._keys(stores, np.stack((starts, ends))))
        counts: Integers = last - first
        return counts

    def _keys(self, stores: Integers, instants: Integers) -> Integers:
        """Return numbers that rise from store to store, and with the instants of each store."""
        return stores * self._stride + (instants - self._first)

    def _windows(self, stores: Integers, edges: Integers) -> Windows:
        """Find the change and the open interval at each edge of windows, once for all units."""
        changes = self._change_keys.searchsorted(self._keys(stores, edges), side="right") - 1
        return Windows(edges, changes, self._opened.find(self._schedules[stores], edges))

    def _set_changes(self, rules: PollRules) -> None:
        """Find the changes of state: at polls of another status, and where coverage ends."""
        bounds, packed = self.polls.bounds, self.polls.packed
        instants, active = packed >> 1, packed & 1
        firsts = bounds[:-1][bounds[:-1] < len(packed)]
        lapses = np.ones(len(packed), dtype=bool)
        np.greater(instants[1:] - instants[:-1], rules.stale_after, out=lapses[:-1])
        # the coverage of the last poll of each store ends too
        lapses[firsts - 1] = True
        changes = np.ones(len(packed), dtype=bool)
        changes[1:] = lapses[:-1] | (active[1:] != active[:-1])
        changes[firsts] = True
        changed, lapsed = np.flatnonzero(changes), np.flatnonzero(lapses)
        count = len(self)
        # nothing is known before the first poll; a lapse comes behind its poll, or together with it
        stores = np.concatenate(
            (np.arange(count), self.polls.stores_at(changed), self.polls.stores_at(lapsed))
        )
        starts = np.concatenate(
            (
                np.full(count, self._first),
                instants[changed],
                np.minimum(instants[lapsed] + rules.stale_after, self.end),
            )
        )
        keys = self._keys(stores, starts)
        order = keys.argsort(kind="stable")
        self._change_keys = keys[order]
        self._change_stores = stores[order]
        # open time begins with the span
        self._change_instants = np.maximum(starts[order], self.start)
        self._change_intervals = self._opened.find(
            self._schedules[self._change_stores], self._change_instants
        )
        is_active = np.concatenate(
            (np.full(count, rules.default_active), active[changed] > 0, active[lapsed] > 0)
        )[order]
        is_unknown = np.ones(len(order), dtype=bool)
        is_unknown[count : count + len(changed)] = False
        is_unknown = is_unknown[order]
        self._states: Flags = np.stack((is_active, is_unknown, is_active & is_unknown))

    def _sums_of(self, reading: Reading) -> tuple[Integers, Integers]:
        """Return the open time before each change, and the sums of its parts up to there.

        The parts are a row each: up, unknown, and up and unknown at once. All are counted from an
        origin that is the same for all changes of a store.
        """
        sums = self._sums.get(reading)
        if sums is None:
            at_changes = self._opened.before(self._change_intervals, self._change_instants, reading)
            lasted = at_changes[1:] - at_changes[:-1]
            # the first change of a store follows the last one of another store
            lasted[self._change_stores[1:] != self._change_stores[:-1]] = 0
            parts = np.zeros(self._states.shape, dtype=np.int64)
            np.cumsum(self._states[:, :-1] * lasted, axis=1, out=parts[:, 1:])
            sums = self._sums[reading] = at_changes, parts
        return sums
