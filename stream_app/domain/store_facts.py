"""The facts of a store from which its figures are computed, and the rules for its polls."""

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
    """The rules that say which polls count, and for how long.

    Attributes:
        lookback: how long before the start of a span a poll still counts, µs.
        default_active: the status before the first poll.
        stale_after: how long a poll covers the time after it, µs.
    """

    lookback: int
    default_active: bool
    stale_after: int
