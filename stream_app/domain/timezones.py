"""Finds timezones by their names, and the changes of their UTC offsets."""

from __future__ import annotations

from bisect import bisect_right
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Final, cast

import pytz
from pytz.tzinfo import BaseTzInfo, DstTzInfo

from stream_app.domain.timestamps import from_datetime
from stream_app.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

Segment = tuple[int, int, int]
"""`(start, end, offset)`: from start to end local clocks show UTC + offset; all in µs."""

TZDATA_VERSION: Final[str] = pytz.OLSON_VERSION  # type: ignore[attr-defined]
"""The version of the timezone database."""

_MICROSECOND: Final = timedelta(microseconds=1)


@lru_cache(maxsize=1024)
def find_timezone(name: str | None) -> BaseTzInfo | None:
    """Return the timezone of an exact IANA name; None where no timezone has this name."""
    # pytz.timezone() alone would accept upper and lower case; everywhere else a name is exact
    return pytz.timezone(name) if name and name in pytz.all_timezones_set else None


def unknown_timezone_name(name: str | None) -> str | None:
    """Return the name if no timezone has it, so that the default one applies; otherwise None."""
    return name if name and find_timezone(name) is None else None


def resolve_timezone(name: str | None, default: str) -> BaseTzInfo:
    """Return the timezone of an exact IANA name; the default one for None, empty and unknown names.

    Raises:
        SettingsError: the default one applies, and its name is unknown too.
    """
    tz = find_timezone(name) or find_timezone(default)
    if tz is None:
        raise SettingsError(f"the default timezone is not the IANA name of one: {default[:60]!r}")
    return tz


def constant_offset_segments(tz: BaseTzInfo, start: int, end: int) -> list[Segment]:
    """Split the UTC span `[start, end)` where the UTC offset of a timezone changes.

    Returns:
        segments in order, without gaps; none for an empty span.
    """
    if start >= end:
        return []
    changes, offsets = _clock_changes(tz)
    position = bisect_right(changes, start)
    segments: list[Segment] = []
    while position < len(changes) and changes[position] < end:
        segments.append((start, changes[position], offsets[position]))
        start = changes[position]
        position += 1
    segments.append((start, end, offsets[position]))
    return segments


@lru_cache(maxsize=1024)
def _clock_changes(tz: BaseTzInfo) -> tuple[Sequence[int], Sequence[int]]:
    """Return the instants at which the offset changes, and the offsets before and after them."""
    if not isinstance(tz, DstTzInfo):
        offset = tz.utcoffset(datetime(2000, 1, 1))  # noqa: DTZ001  pytz wants it naive
        return (), (cast("timedelta", offset) // _MICROSECOND,)
    # pytz has no public way to ask for its clock changes, and finding them by probing costs
    # thousands of conversions for each timezone. Only this function reads the private attributes,
    # and test_timezones.py compares its results with public conversions.
    times = tz._utc_transition_times  # type: ignore[attr-defined]  # noqa: SLF001  see above
    infos = tz._transition_info  # type: ignore[attr-defined]  # noqa: SLF001  see above
    changes: list[int] = []
    offsets = [infos[0][0] // _MICROSECOND]
    for time, info in zip(times[1:], infos[1:], strict=True):
        offset = info[0] // _MICROSECOND
        if offset != offsets[-1]:  # the others change the timezone's abbreviation alone
            changes.append(from_datetime(time))
            offsets.append(offset)
    return changes, offsets
