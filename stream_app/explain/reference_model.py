"""A reference model of a store's status: the simplest method, to check the product's figures.

It follows the definition of a report directly: it makes one step for each minute, or for each span
in which nothing changes, and computes each step by itself with datetime and pytz. It shares no code
with `stream_app.domain`, so that an error in either of them shows as a difference.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

import pytz

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pytz.tzinfo import BaseTzInfo

Row = tuple[int, str, str]
"""Business hours: `(day, start, end)`, 0 = Monday, local times of day as text."""

_SECOND: Final = 1_000_000
_MINUTE: Final = 60 * _SECOND
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR
_LAST_READING: Final = _DAY - 1
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001  of UTC and of local clocks alike
_MICROSECOND: Final = timedelta(microseconds=1)


class Step(NamedTuple):
    """A span of time with the state of the store at its first instant.

    Attributes:
        start: µs.
        end: µs.
        day: the date on the store's clock.
        open: whether that clock shows business hours.
        active: the status that counts.
        poll: instant of the poll with that status, µs; None if the default status applies.
        covered: whether that poll is recent enough for its status to be known.
    """

    start: int
    end: int
    day: date
    open: bool
    active: bool
    poll: int | None
    covered: bool


@dataclass(slots=True)
class DayOpening:
    """The business hours that begin on one day of the week.

    Attributes:
        today: `(start, end)` on that day, µs after its midnight.
        tomorrow: the end of hours over midnight, µs after the next midnight.
    """

    today: list[tuple[int, int]] = field(default_factory=list)
    tomorrow: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class PollPolicy:
    """The rules that say which polls count, and for how long.

    Attributes:
        lookback: how long before the start of a report a poll still counts, µs.
        stale_after: how long a poll covers the time after it, µs.
        default_active: the status before the first poll.
    """

    lookback: int
    stale_after: int
    default_active: bool


class ReferenceModel:
    """Computes the status of one store at each step, from the facts of the store.

    Args:
        rows: business hours, `(day, start, end)`; without a row the store is always open.
        timezone_name: an IANA name.
        polls: `(instant, active)` in any order, with any duplicates.
        span: start and end of the time, µs.
        policy: the rules of the report.

    Attributes:
        polls: the instants of the polls that count, sorted.
    """

    def __init__(
        self,
        rows: Iterable[Row],
        timezone_name: str,
        polls: Iterable[tuple[int, bool]],
        span: tuple[int, int],
        policy: PollPolicy,
    ) -> None:
        self._tz = pytz.timezone(timezone_name)
        self._start, self._end = span
        self._stale_after = policy.stale_after
        self._default_active = policy.default_active
        self._active: dict[int, bool] = {}
        for instant, active in polls:
            if self._start - policy.lookback <= instant <= self._end:
                # of two polls at one instant the inactive one counts
                self._active[instant] = active and self._active.get(instant, True)
        self.polls = sorted(self._active)
        self._always_open = True
        self._opening: defaultdict[int, DayOpening] = defaultdict(DayOpening)
        for day, opens, closes in rows:
            self._always_open = False
            self._add_row(day, _reading(opens), _reading(closes))

    def minutes(self) -> Iterator[Step]:
        """Yield each whole minute, counted back from the end, as it is at its first instant."""
        for back in range((self._end - self._start) // _MINUTE, 0, -1):
            start = self._end - back * _MINUTE
            yield self._step(start, start + _MINUTE)

    def constant_spans(self, cuts: Iterable[int] = ()) -> Iterator[Step]:
        """Yield the spans within which nothing can change, in order.

        Args:
            cuts: further instants at which a span ends, µs.
        """
        instants = {self._start, *cuts, *self.polls, *self._clock_cuts()}
        instants.update(poll + self._stale_after for poll in self.polls)
        ordered = sorted(t for t in instants if self._start <= t < self._end)
        for start, end in zip(ordered, [*ordered[1:], self._end], strict=True):
            yield self._step(start, end)

    def day_of(self, instant: int) -> date:
        """Return the date that the store's clock shows."""
        return _local(self._tz, instant).date()

    def _step(self, start: int, end: int) -> Step:
        local = _local(self._tz, start)
        position = bisect_right(self.polls, start)
        poll = self.polls[position - 1] if position else None
        return Step(
            start,
            end,
            local.date(),
            self._is_open(local),
            self._default_active if poll is None else self._active[poll],
            poll,
            poll is not None and start < poll + self._stale_after,
        )

    def _add_row(self, day: int, opens: int, closes: int) -> None:
        if opens == closes:
            return
        if opens < closes:
            # files also write the end of the day as 23:59:59.999999
            until = _DAY if closes == _LAST_READING else closes
            self._opening[day].today.append((opens, until))
        else:
            self._opening[day].today.append((opens, _DAY))
            self._opening[day].tomorrow.append(closes)

    def _is_open(self, local: datetime) -> bool:
        if self._always_open:
            return True
        clock = (local - _midnight(local.date())) // _MICROSECOND
        weekday = local.weekday()
        return any(opens <= clock < closes for opens, closes in self._opening[weekday].today) or (
            any(clock < closes for closes in self._opening[(weekday - 1) % 7].tomorrow)
        )

    def _clock_cuts(self) -> Iterator[int]:
        """Yield the instants at which hours, day or UTC offset may change, and some others."""
        changes, offsets = _offsets(self._tz, self._start, self._end)
        yield from changes
        day = self.day_of(self._start) - timedelta(days=1)
        last = self.day_of(self._end) + timedelta(days=1)
        while day <= last:
            midnight = (_midnight(day) - _EPOCH) // _MICROSECOND
            today, yesterday = (
                self._opening[day.weekday()],
                self._opening[(day.weekday() - 1) % 7],
            )
            for clock in {0, *yesterday.tomorrow, *(t for row in today.today for t in row)}:
                for offset in offsets:
                    yield midnight + clock - offset
            day += timedelta(days=1)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day)  # noqa: DTZ001  a reading of a local clock


def _local(tz: BaseTzInfo, instant: int) -> datetime:
    """Return the local time that the timezone's clock shows."""
    aware = tz.fromutc(_EPOCH + timedelta(microseconds=instant))
    return aware.replace(tzinfo=None)


def _offsets(tz: BaseTzInfo, start: int, end: int) -> tuple[Sequence[int], set[int]]:
    """Find the instants at which a timezone's UTC offset changes, and its offsets.

    Offsets that are an hour apart are compared, and each change between them is narrowed down.
    """

    def offset_at(instant: int) -> int:
        return (_local(tz, instant) - _EPOCH) // _MICROSECOND - instant

    changes = []
    earlier, before = start, offset_at(start)
    offsets = {before}
    while earlier < end:
        later = min(earlier + _HOUR, end)
        after = offset_at(later)
        if after != before:
            low, high = earlier, later
            while high - low > 1:
                middle = (low + high) // 2
                if offset_at(middle) == before:
                    low = middle
                else:
                    high = middle
            changes.append(high)
            offsets.add(after)
        earlier, before = later, after
    return changes, offsets


def _reading(text: str) -> int:
    """Return a time of day as µs after midnight; the reader of the record has checked its form."""
    hours, minutes, seconds = ([*text.strip().split(":"), "0"])[:3]
    whole, _, fraction = seconds.partition(".")
    return (
        int(hours) * _HOUR
        + int(minutes) * _MINUTE
        + int(whole) * _SECOND
        + int(fraction.ljust(6, "0"))
    )
