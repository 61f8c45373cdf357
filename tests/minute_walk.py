"""Computes the figures in the simplest way: in one step for every minute of the week.

It follows `docs/explanation/figures.md` with datetime and pytz, and shares no code with the
product: a difference shows an error in one of the two. It takes text and datetimes, and returns
the figures as the product publishes them.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import pytz

WINDOWS = {"hour": 60, "day": 24 * 60, "week": 7 * 24 * 60}
COLUMNS = (
    "uptime_last_hour",
    "uptime_last_day",
    "uptime_last_week",
    "downtime_last_hour",
    "downtime_last_day",
    "downtime_last_week",
)
HEADER = ",".join(("store_id", *COLUMNS)) + "\n"

TimeOfDay = tuple[int, int, int, int]
END_OF_DAY: TimeOfDay = (24, 0, 0, 0)


def walk(
    rows: list[tuple[int, str, str]],
    timezone_name: str | None,
    polls: list[tuple[datetime, str]],
    reference: datetime,
    *,
    lookback: timedelta = timedelta(hours=1),
    default_status: str = "inactive",
    default_timezone: str = "America/Chicago",
) -> dict[str, int]:
    """Count the minutes of one store for each column of the CSV.

    Args:
        rows: business hours as `(day, start, end)` with the texts of the file; no rows mean that
            the store is always open.
        timezone_name: IANA name; `default_timezone` counts if it is None or unknown.
        polls: `(aware datetime, "active" or "inactive")` in any order.
        reference: aware datetime at which the windows end.
        lookback: time before the week in which a poll still counts.
        default_status: status that counts while no poll gives one.
        default_timezone: IANA name.
    """
    minutes = dict.fromkeys(COLUMNS, 0)
    status = _Status(polls, reference, lookback, default_status)
    opening = [(day, _time_of_day(start), _time_of_day(end)) for day, start, end in rows]
    if timezone_name not in pytz.all_timezones_set:
        timezone_name = default_timezone
    for back, (minute, day, clock) in enumerate(_minutes_back(timezone_name, reference), start=1):
        if not _is_open(opening, day, clock):
            continue
        kind = "uptime" if status.at(minute) == "active" else "downtime"
        for window, length in WINDOWS.items():
            if back <= length:
                minutes[f"{kind}_last_{window}"] += 1
    return minutes


def public_figures(minutes: dict[str, int]) -> dict[str, float]:
    """Return minutes for the last hour, and hours with two decimals for the day and the week."""
    return {
        column: count if column.endswith("_hour") else round(count / 60, 2)
        for column, count in minutes.items()
    }


def csv_row(store_id: str, minutes: dict[str, int]) -> str:
    """Return the row of the CSV with its line end."""
    figures = public_figures(minutes)
    return ",".join([store_id, *(str(figures[column]) for column in COLUMNS)]) + "\n"


@lru_cache(maxsize=64)
def _minutes_back(timezone_name: str, reference: datetime) -> list[tuple[datetime, int, TimeOfDay]]:
    """Return each minute with its local weekday and time of day, the newest minute first."""
    zone = pytz.timezone(timezone_name)
    reference = reference.astimezone(UTC)
    minutes = []
    for back in range(1, WINDOWS["week"] + 1):
        minute = reference - timedelta(minutes=back)
        local = minute.astimezone(zone)
        clock = (local.hour, local.minute, local.second, local.microsecond)
        minutes.append((minute, local.weekday(), clock))
    return minutes


class _Status:
    def __init__(
        self,
        polls: list[tuple[datetime, str]],
        reference: datetime,
        lookback: timedelta,
        default: str,
    ) -> None:
        oldest = reference - timedelta(days=7) - lookback
        self._known: dict[datetime, str] = {}
        for instant, status in polls:
            if oldest <= instant <= reference and self._known.get(instant) != "inactive":
                self._known[instant] = status.lower()
        self._instants = sorted(self._known)
        self._default = default

    def at(self, instant: datetime) -> str:
        position = bisect_right(self._instants, instant)
        return self._known[self._instants[position - 1]] if position else self._default


def _time_of_day(text: str) -> TimeOfDay:
    hours, minutes, seconds = ([*text.strip().split(":"), "0"])[:3]
    seconds, _, fraction = seconds.partition(".")
    return int(hours), int(minutes), int(seconds), int(fraction.ljust(6, "0"))


def _is_open(opening: list[tuple[int, TimeOfDay, TimeOfDay]], day: int, clock: TimeOfDay) -> bool:
    if not opening:
        return True
    for row_day, start, end in opening:
        if start == end:
            continue
        if start < end:
            closes = END_OF_DAY if end == (23, 59, 59, 999_999) else end
            if day == row_day and start <= clock < closes:
                return True
        elif (day == row_day and clock >= start) or (day == (row_day + 1) % 7 and clock < end):
            return True
    return False
