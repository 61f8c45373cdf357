"""The stores of a scenario: zones and hours of every kind, around changes of the clock."""

from __future__ import annotations

import random
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

Hours = list[tuple[int, str, str]]
"""Rows `(day, start, end)` as in the file; 0 is Monday."""

_CLOCKS: Final = (
    # zone, and a reference time shortly after its clock changes: the week before holds the change
    ("America/New_York", "2024-11-04T05:30:00"),
    ("America/Chicago", "2024-03-11T12:00:18"),
    ("America/Denver", "2024-11-03T20:00:00"),
    ("Europe/Berlin", "2024-10-28T11:17:31"),
    ("Europe/London", "2024-03-31T23:59:59"),
    ("Australia/Lord_Howe", "2024-04-08T00:00:00"),
    ("Asia/Kolkata", "2024-06-12T09:41:07"),
    ("Pacific/Apia", "2024-06-12T09:41:07"),
    ("No/Such_Zone", "2024-11-04T00:00:00"),
    (None, "2024-03-10T18:30:00"),
)

_HOURS: Final[tuple[Hours | None, ...]] = (
    None,  # nothing known: always open
    [(day, "00:00:00", "23:59:59.999999") for day in range(7)],
    [(day, "09:00:00", "17:00:00") for day in range(5)],
    [(day, "22:00:00", "02:30:00") for day in range(7)],
    [(6, "00:00:00", "04:00:00"), (6, "03:00:00", "05:30:00"), (5, "20:15:00", "24:00:00")],
    [(0, "08:00:00", "08:00:00"), (2, "11:30:00", "14:00:00"), (2, "17:00:00", "23:00:00")],
)

_SPAN: Final = timedelta(days=8)
"""How far before the reference time polls lie: some are older than anything that counts."""


@dataclass(frozen=True, slots=True)
class Store:
    """A store as it is at the beginning; hours and zone change while the load runs.

    Attributes:
        id: its UUID.
        reference: the time that its reports refer to.
        zone: its first zone; None: none is ever sent.
        hours: its first hours; None: none are sent at the beginning.
    """

    id: str
    reference: datetime
    zone: str | None
    hours: Hours | None

    def some_instant(self, randomness: random.Random) -> datetime:
        """A time at which it may have been polled; now and then after the reference time."""
        return self.reference - _SPAN * (randomness.random() - 0.02)


def make_stores(count: int, seed: int) -> list[Store]:
    """Stores of all combinations, the same ones for the same seed."""
    randomness = random.Random(seed)
    stores = []
    for number in range(count):
        zone, reference = _CLOCKS[number % len(_CLOCKS)]
        stores.append(
            Store(
                id=str(uuid.UUID(int=randomness.getrandbits(128), version=4)),
                reference=datetime.fromisoformat(reference).replace(tzinfo=UTC),
                zone=zone,
                hours=_HOURS[number // len(_CLOCKS) % len(_HOURS)],
            )
        )
    return stores


def other_hours(randomness: random.Random) -> Hours:
    """Hours that a store may change to."""
    return randomness.choice([hours for hours in _HOURS if hours is not None])


def other_zone(randomness: random.Random) -> str:
    """A zone that a store may move to."""
    return randomness.choice([zone for zone, _ in _CLOCKS if zone is not None])
