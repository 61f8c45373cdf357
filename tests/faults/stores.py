"""Makes the stores of a scenario: timezones and hours of many kinds, around clock changes."""

from __future__ import annotations

import random
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

Hours = list[tuple[int, str, str]]
"""The rows `(day, start, end)` of one store, as in the file; day 0 is Monday."""

_CLOCKS: Final = (
    # a timezone, and a reference time within a week after its clock changes
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
    None,  # a store without hours is always open
    [(day, "00:00:00", "23:59:59.999999") for day in range(7)],
    [(day, "09:00:00", "17:00:00") for day in range(5)],
    [(day, "22:00:00", "02:30:00") for day in range(7)],
    [(6, "00:00:00", "04:00:00"), (6, "03:00:00", "05:30:00"), (5, "20:15:00", "24:00:00")],
    [(0, "08:00:00", "08:00:00"), (2, "11:30:00", "14:00:00"), (2, "17:00:00", "23:00:00")],
)

_SPAN: Final = timedelta(days=8)
"""The longest time from a poll to the reference time; some polls are too old to count."""


@dataclass(frozen=True, slots=True)
class Store:
    """A store as it is at the beginning; the load changes its hours and timezone later.

    Attributes:
        id: the UUID.
        reference: the reference time of its reports.
        timezone: the first timezone; None if none is sent at the beginning.
        hours: the first hours; None if none are sent at the beginning.
    """

    id: str
    reference: datetime
    timezone: str | None
    hours: Hours | None

    def some_instant(self, randomness: random.Random) -> datetime:
        """Choose the time of a poll; now and then it is after the reference time."""
        return self.reference - _SPAN * (randomness.random() - 0.02)


def make_stores(count: int, seed: int) -> list[Store]:
    """Make stores with all combinations of timezone and hours; the same seed gives the same."""
    randomness = random.Random(seed)
    stores = []
    for number in range(count):
        timezone, reference = _CLOCKS[number % len(_CLOCKS)]
        stores.append(
            Store(
                id=str(uuid.UUID(int=randomness.getrandbits(128), version=4)),
                reference=datetime.fromisoformat(reference).replace(tzinfo=UTC),
                timezone=timezone,
                hours=_HOURS[number // len(_CLOCKS) % len(_HOURS)],
            )
        )
    return stores


def other_hours(randomness: random.Random) -> Hours:
    """Choose new hours for a store."""
    return randomness.choice([hours for hours in _HOURS if hours is not None])


def other_timezone(randomness: random.Random) -> str:
    """Choose a new timezone for a store."""
    return randomness.choice([timezone for timezone, _ in _CLOCKS if timezone is not None])
