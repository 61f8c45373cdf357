"""The time that stores were up and down during their business hours, of many stores at once.

A figure is a difference: the time before the end of a window less that before its start. So the
polls of a store and its schedule are read once, whatever windows are asked for, and an array has
the stores of a whole chunk of a report. One store is an array of one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stream_app.domain.open_time import OpenTimes, opening_edges
from stream_app.domain.poll_sets import PollSets
from stream_app.domain.windows import microsecond_reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from stream_app.domain.store_facts import PollRules, StoreFacts
    from stream_app.domain.windows import Reading

    Integers = NDArray[np.int64]
    Flags = NDArray[np.bool_]


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

    def added(self, first: Integers) -> OpenTimeSplit:
        """Return the sums of windows that follow each other.

        Args:
            first: for each sum the number of its first window; its last one is before the next.
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


class StoreStates:
    """The states of stores over one span: which are active, and which some poll covers.

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

    def split(
        self, stores: Integers, starts: Integers, ends: Integers, reading: Reading
    ) -> OpenTimeSplit:
        """Split the open time of windows inside the span.

        Args:
            stores: for each window the number of its store.
            starts: for each window its start, µs.
            ends: for each window its end, µs.
            reading: the unit, `minute_reading` or `microsecond_reading`.
        """
        before = self._before(np.tile(stores, 2), np.concatenate((starts, ends)), reading)
        opened, up, unknown, unknown_up = before[:, len(stores) :] - before[:, : len(stores)]
        return OpenTimeSplit(up, opened - up, unknown_up, unknown - unknown_up)

    def split_all(self, start: int, end: int, reading: Reading) -> OpenTimeSplit:
        """Split the open time of one window, `[start, end)`, for every store."""
        stores = np.arange(len(self))
        return self.split(stores, np.full_like(stores, start), np.full_like(stores, end), reading)

    def coverage(self) -> list[float | None]:
        """Return the coverage of the whole span for every store; see `OpenTimeSplit.coverage`."""
        return self.split_all(self.start, self.end, microsecond_reading).coverage()

    def poll_counts(self) -> list[int]:
        """Return the number of polls that count for every store."""
        counts: list[int] = np.bincount(self.polls.stores, minlength=len(self)).tolist()
        return counts

    def polls_in(self, stores: Integers, starts: Integers, ends: Integers) -> Integers:
        """Return the numbers of polls in windows inside the span, given as for `split`."""
        keys = self._keys(self.polls.stores, self.polls.packed >> 1)
        return np.searchsorted(keys, self._keys(stores, ends)) - np.searchsorted(
            keys, self._keys(stores, starts)
        )

    def _keys(self, stores: Integers, instants: Integers) -> Integers:
        """Return numbers that rise from store to store, and with the instants of each store."""
        return stores * self._stride + (instants - self._first)

    def _set_changes(self, rules: PollRules) -> None:
        """Find the changes of state: at polls of another status, and where coverage ends."""
        stores, active = self.polls.stores, (self.polls.packed & 1).astype(bool)
        instants = self.polls.packed >> 1
        is_first = np.ones(len(stores), dtype=bool)
        is_first[1:] = stores[1:] != stores[:-1]
        lapses = np.ones(len(stores), dtype=bool)
        lapses[:-1] = is_first[1:] | (np.diff(instants) > rules.stale_after)
        changes = is_first.copy()
        changes[1:] |= (active[1:] != active[:-1]) | lapses[:-1]
        count = len(self)
        # nothing is known before the first poll; a lapse comes behind its poll, or together with it
        change_stores = np.concatenate((np.arange(count), stores[changes], stores[lapses]))
        change_instants = np.concatenate(
            (
                np.full(count, self._first),
                instants[changes],
                np.minimum(instants[lapses] + rules.stale_after, self.end),
            )
        )
        keys = self._keys(change_stores, change_instants)
        order = np.argsort(keys, kind="stable")
        self._change_keys = keys[order]
        self._change_stores = change_stores[order]
        # open time begins with the span
        self._change_instants = np.maximum(change_instants[order], self.start)
        self._change_intervals = self._opened.find(
            self._schedules[self._change_stores], self._change_instants
        )
        is_active = np.concatenate(
            (np.full(count, rules.default_active), active[changes], active[lapses])
        )[order]
        is_unknown = np.ones(len(order), dtype=bool)
        is_unknown[count : count + np.count_nonzero(changes)] = False
        is_unknown = is_unknown[order]
        self._states: Flags = np.stack((is_active, is_unknown, is_active & is_unknown))

    def _before(self, stores: Integers, instants: Integers, reading: Reading) -> Integers:
        """Return the open time before instants: all, up, unknown, and unknown up, a row each.

        They are counted from an origin that all instants of a store share.
        """
        at_changes, sums = self._sums_of(reading)
        last = np.searchsorted(self._change_keys, self._keys(stores, instants), side="right") - 1
        intervals = self._opened.find(self._schedules[stores], instants)
        opened = self._opened.before(intervals, instants, reading)
        split = sums[:, last] + self._states[:, last] * (opened - at_changes[last])
        return np.concatenate((opened[np.newaxis], split))

    def _sums_of(self, reading: Reading) -> tuple[Integers, Integers]:
        """Return the open time before each change, and the sums of its parts up to there."""
        sums = self._sums.get(reading)
        if sums is None:
            at_changes = self._opened.before(self._change_intervals, self._change_instants, reading)
            lasted = np.zeros_like(at_changes)
            lasted[1:] = np.diff(at_changes)
            # the first change of a store follows the last one of another store
            lasted[1:][self._change_stores[1:] != self._change_stores[:-1]] = 0
            states = np.zeros_like(self._states)
            states[:, 1:] = self._states[:, :-1]
            sums = self._sums[reading] = at_changes, np.cumsum(states * lasted, axis=1)
        return sums
