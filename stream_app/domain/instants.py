"""Instants and durations as whole microseconds.

An instant is the number of microseconds since 1970-01-01T00:00:00Z: integers subtract
exactly, compare fast and know no zone, so no clock change can bend a difference.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from stream_app.errors import RecordError

SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
WEEK: Final = 7 * DAY

LATEST: Final = 4_102_444_800 * SECOND
"""2100-01-01: what lies beyond is a wrong unit or a broken clock, not an instant."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH: Final = _EPOCH.replace(tzinfo=None)
_MICROSECOND: Final = timedelta(microseconds=1)
_DATE_AND_SEPARATOR: Final = re.compile(r"[\dW-]+[T ]", re.IGNORECASE)
_UTC_SUFFIX: Final = re.compile(r"\s*(?:UTC|GMT)$", re.IGNORECASE)


_ISO_DURATION: Final = re.compile(
    r"P(?=.)(?:(\d{1,6})W)?(?:(\d{1,6})D)?"
    r"(?:T(?=.)(?:(\d{1,6})H)?(?:(\d{1,6})M)?(?:(\d{1,9})(?:\.(\d{1,6}))?S)?)?"
)


def parse_iso_duration(text: object) -> int:
    """Microseconds of an ISO 8601 duration such as `P7D` or `PT1H30M`.

    Raises:
        RecordError: not such a text, or of years or months, whose length varies.
    """
    match = _ISO_DURATION.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        raise RecordError(
            f"not a duration of weeks, days, hours, minutes or seconds such as P7D or PT90M: "
            f"{str(text)[:60]!r}"
        )
    weeks, days, hours, minutes, seconds, fraction = match.groups(default="0")
    return (
        int(weeks) * WEEK
        + int(days) * DAY
        + int(hours) * HOUR
        + int(minutes) * MINUTE
        + int(seconds) * SECOND
        + int(fraction.ljust(6, "0"))
    )


def format_iso_duration(microseconds: int) -> str:
    """Text that `parse_iso_duration` reads back."""
    seconds, fraction = divmod(microseconds, SECOND)
    return f"PT{seconds}" + (f".{fraction:06}" if fraction else "") + "S"


def from_datetime(moment: datetime) -> int:
    """Microseconds since the epoch of an aware datetime; a naive one is read as UTC."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // _MICROSECOND


def to_datetime(instant: int) -> datetime:
    """The aware UTC datetime of an instant."""
    return _EPOCH + timedelta(microseconds=instant)


def parse_instant(text: object) -> int:
    """Read ISO 8601 or `YYYY-MM-DD HH:MM:SS[.ffffff] UTC`; no zone means UTC.

    Returns:
        microseconds since the epoch.

    Raises:
        RecordError: not such a text, or outside 1970 to 2100.
    """
    if not isinstance(text, str):
        raise RecordError(f"the time is not a text but {type(text).__name__}")
    if text[-1:] == "Z" and text[10:11] == "T" and text[4:5] == text[7:8] == "-":
        # what programs write, in a third of the time
        try:
            moment = datetime.fromisoformat(text[:-1])
        except ValueError:
            moment = _EPOCH
        if moment.tzinfo is None:
            since = moment - _NAIVE_EPOCH
            return check_instant(
                (since.days * 86_400 + since.seconds) * SECOND + since.microseconds
            )
    trimmed = text.strip()
    bare = _UTC_SUFFIX.sub("", trimmed)
    if len(bare) < len("2024-01-01T00") or len(bare) > 40:
        raise RecordError(f"not a time: {trimmed[:60]!r}")
    # fromisoformat takes any character between date and time, even one more digit
    if not _DATE_AND_SEPARATOR.match(bare):
        raise RecordError(f"not a time: {trimmed[:60]!r}")
    try:
        # RFC 3339 lets T and Z be small, Python only T
        moment = datetime.fromisoformat(bare.upper())
    except ValueError:
        raise RecordError(f"not a time: {trimmed[:60]!r}") from None
    if bare is not trimmed and bare != trimmed and moment.tzinfo is not None:
        raise RecordError(f"a time with two zones: {trimmed[:60]!r}")
    try:
        instant = from_datetime(moment)
    except OverflowError:
        raise RecordError(f"a time outside 1970 to 2100: {trimmed[:60]!r}") from None
    return check_instant(instant)


def check_instant(instant: int) -> int:
    """The instant itself where it lies in 1970 to 2100.

    Raises:
        RecordError: outside that range.
    """
    if not 0 <= instant < LATEST:
        raise RecordError(f"a time outside 1970 to 2100: {instant} µs")
    return instant


def format_instant(instant: int) -> str:
    """ISO 8601 in UTC with `Z`; the fraction only where there is one."""
    return to_datetime(instant).isoformat().replace("+00:00", "Z")
