"""The facts that the product acknowledged: every report is compared with figures from them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from tests.faults.minute_count import count
from tests.minute_walk import public_figures, walk

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from tests.faults.stores import Hours, Store

Poll = tuple["datetime", str]
"""An aware instant, and `active` or `inactive`."""

_COUNTED: Final = timedelta(days=7, hours=1)
"""The time before the reference time in which polls count: a week and the default lookback."""


@dataclass
class Ledger:
    """The facts of each store, as they were sent and as they were acknowledged.

    A sender adds a poll to `sent` before it sends it, and to `acknowledged` after the broker has
    acknowledged it. Senders try again until they have the acknowledgement, so both are equal when
    the load has stopped. Until then a report may count a poll that is not acknowledged, or not.
    """

    acknowledged: defaultdict[str, set[Poll]] = field(default_factory=lambda: defaultdict(set))
    sent: defaultdict[str, set[Poll]] = field(default_factory=lambda: defaultdict(set))
    hours: dict[str, Hours] = field(default_factory=dict)
    timezones: dict[str, str] = field(default_factory=dict)
    in_flight: int = 0

    def add_sent(self, store_id: str, polls: Iterable[Poll]) -> None:
        """Add polls that are sent next."""
        self.sent[store_id].update(polls)
        self.in_flight += 1

    def add_acknowledged(self, store_id: str, polls: Iterable[Poll]) -> None:
        """Add polls that the broker has acknowledged."""
        self.acknowledged[store_id].update(polls)
        self.in_flight -= 1

    def go_back_to(self, earlier: Ledger) -> None:
        """Go back to an earlier copy of this ledger, as the broker went back to its backup."""
        self.__dict__.update(earlier.__dict__)

    @property
    def poll_count(self) -> int:
        """Return the number of different polls that were acknowledged."""
        return sum(len(polls) for polls in self.acknowledged.values())

    def least_counted(self, store: Store) -> int:
        """Return the number of polls that a report counts at least if it is requested now."""
        return _counted(self.acknowledged[store.id], store.reference)

    def most_counted(self, store: Store) -> int:
        """Return the number of polls that a report can count at most if it is complete now."""
        return _counted(self.sent[store.id], store.reference)

    def expected_figures(self, store: Store) -> dict[str, float]:
        """Return the figures of a store's report, computed from the acknowledged facts.

        The figures of uptime come from the minute walk; `polls_counted` is added to them.
        """
        minutes = walk(
            self.hours.get(store.id, []),
            self.timezones.get(store.id),
            list(self.acknowledged[store.id]),
            store.reference,
        )
        return {**public_figures(minutes), "polls_counted": self.least_counted(store)}

    def expected_figures_of_many(self, stores: Iterable[Store]) -> dict[str, dict[str, float]]:
        """Return the same figures by store id, fast enough for thousands of stores."""
        return {
            store.id: {
                **public_figures(
                    count(
                        self.hours.get(store.id, []),
                        self.timezones.get(store.id),
                        self.acknowledged[store.id],
                        store.reference,
                    )
                ),
                "polls_counted": self.least_counted(store),
            }
            for store in stores
        }


def _counted(polls: Iterable[Poll], reference: datetime) -> int:
    """Return the number of different instants: of two polls of one instant a report counts one."""
    oldest = reference - _COUNTED
    return len({instant for instant, _ in polls if oldest <= instant <= reference})
