"""The facts of a store that its figures follow from, and the rules by which its polls count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from array import array

    from pytz.tzinfo import BaseTzInfo

    from stream_app.domain.business_hours import WeeklyHours


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """The facts of one store.

    Attributes:
        hours: business hours on the store's local clock.
        tz: the timezone of that clock.
        polls: a set as `polls.poll_set` packs it.
    """

    hours: WeeklyHours
    tz: BaseTzInfo
    polls: array[int]


@dataclass(frozen=True, slots=True)
class PollRules:
    """The rules by which polls speak for the time around them.

    Attributes:
        lookback: how long before the start of a span a poll still counts, µs.
        default_active: the status before the first poll.
        stale_after: how long a poll covers the time after it, µs.
    """

    lookback: int
    default_active: bool
    stale_after: int
