"""What the load has been told: the truth that every report is held to."""

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
"""Polls in so long before the reference time count: a week and the default look-back."""


@dataclass
class Ledger:
    """Facts by store, as they were acknowledged.

    A sender notes a fact before it sends it and again when a broker has it. Senders send until
    they have the acknowledgement, so after the load the two agree; in between, what was sent
    and not acknowledged is what a report may or may not cover.
    """

    acknowledged: defaultdict[str, set[Poll]] = field(default_factory=lambda: defaultdict(set))
    sent: defaultdict[str, set[Poll]] = field(default_factory=lambda: defaultdict(set))
    hours: dict[str, Hours] = field(default_factory=dict)
    zones: dict[str, str] = field(default_factory=dict)
    on_the_way: int = 0

    def sending(self, store_id: str, polls: Iterable[Poll]) -> None:
        """These polls are about to be sent."""
        self.sent[store_id].update(polls)
        self.on_the_way += 1

    def polls_acknowledged(self, store_id: str, polls: Iterable[Poll]) -> None:
        """A broker holds these polls."""
        self.acknowledged[store_id].update(polls)
        self.on_the_way -= 1

    def become(self, earlier: Ledger) -> None:
        """Forget what was noted since a copy was made: the broker has forgotten it too."""
        self.__dict__.update(earlier.__dict__)

    @property
    def polls(self) -> int:
        """How many different polls were acknowledged."""
        return sum(len(polls) for polls in self.acknowledged.values())

    def least_counted(self, store: Store) -> int:
        """How many polls a report that is asked for now has to count."""
        return _counted(self.acknowledged[store.id], store.reference)

    def most_counted(self, store: Store) -> int:
        """How many polls a report that is seen now may have counted."""
        return _counted(self.sent[store.id], store.reference)

    def expected(self, store: Store) -> dict[str, float]:
        """The public figures by the minute walk, and `polls_counted`, from what is acknowledged."""
        minutes = walk(
            self.hours.get(store.id, []),
            self.zones.get(store.id),
            list(self.acknowledged[store.id]),
            store.reference,
        )
        return {**public_figures(minutes), "polls_counted": self.least_counted(store)}

    def expected_of_many(self, stores: Iterable[Store]) -> dict[str, dict[str, float]]:
        """The same by store id, for thousands of stores."""
        return {
            store.id: {
                **public_figures(
                    count(
                        self.hours.get(store.id, []),
                        self.zones.get(store.id),
                        self.acknowledged[store.id],
                        store.reference,
                    )
                ),
                "polls_counted": self.least_counted(store),
            }
            for store in stores
        }


def _counted(polls: Iterable[Poll], reference: datetime) -> int:
    """Different instants: of two polls at one instant a report knows one."""
    oldest = reference - _COUNTED
    return len({instant for instant, _ in polls if oldest <= instant <= reference})
