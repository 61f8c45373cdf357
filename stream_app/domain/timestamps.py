"""Instants and durations as whole microseconds.

An instant is the number of microseconds since 1970-01-01T00:00:00Z: integers subtract exactly,
compare fast and have no timezone, so that no clock change can falsify a difference.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final

from stream_app.errors import RecordError

SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
WEEK: Final = 7 * DAY

LATEST: Final = 4_102_444_800 * SECOND
"""2100-01-01: a later time comes from a wrong unit or a broken clock."""

_LATE_CENTURY: Final = 946_684_800 * SECOND
"""2000-01-01: a number of nanoseconds of this time or later is recognised as a wrong unit."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH: Final = _EPOCH.replace(tzinfo=None)
_MICROSECOND: Final = timedelta(microseconds=1)
_UTC_SUFFIX: Final = re.compile(r"\s*(?:UTC|GMT)$", re.IGNORECASE)
_LONGEST_TEXT: Final = 60

# the form that programs write; every version of Python reads it alike
_USUAL_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
    r"(?:\.[0-9]{3}(?:[0-9]{3})?)?Z"
)
# ISO 8601, in forms that do not depend on the version of Python
_ANY_TIME: Final = re.compile(
    r"(?P<year>[0-9]{4})"
    r"(?:-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})|(?P<month_>[0-9]{2})(?P<day_>[0-9]{2})"
    r"|-?W(?P<week>[0-9]{2})(?:-?(?P<weekday>[1-7]))?)"
    r"[T ](?P<hour>[0-9]{2})"
    r"(?::?(?P<minute>[0-9]{2})(?::?(?P<second>[0-9]{2})(?:[.,](?P<fraction>[0-9]+))?)?)?"
    r" ?(?P<zone>Z|(?P<sign>[+-])(?P<zone_hour>[01][0-9]|2[0-3])"
    r"(?::?(?P<zone_minute>[0-5][0-9])(?::?(?P<zone_second>[0-5][0-9]))?)?)?"
)


_ISO_DURATION: Final = re.compile(
    r"P(?=.)(?:([0-9]{1,6})W)?(?:([0-9]{1,6})D)?(?:T(?=.)(?:([0-9]{1,6})H)?"
    r"(?:([0-9]{1,6})M)?(?:([0-9]{1,9})(?:\.([0-9]{1,6}))?S)?)?"
)


def parse_iso_duration(text: object) -> int:
    """Return the microseconds of an ISO 8601 duration such as `P7D` or `PT1H30M`.

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
    """Return the text that `parse_iso_duration` reads back."""
    seconds, fraction = divmod(microseconds, SECOND)
    return f"PT{seconds}" + (f".{fraction:06}" if fraction else "") + "S"


def from_datetime(moment: datetime) -> int:
    """Return the microseconds since the epoch of an aware datetime; a naive one is read as UTC."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // _MICROSECOND


def to_datetime(instant: int) -> datetime:
    """Return the aware UTC datetime of an instant."""
    return _EPOCH + timedelta(microseconds=instant)


def parse_instant(text: object) -> int:
    """Read ISO 8601 or `YYYY-MM-DD HH:MM:SS[.ffffff] UTC`; a time without a UTC offset is in UTC.

    `24:00` is the end of a day. Digits after the sixth decimal of a second are cut off.

    Returns:
        microseconds since the epoch.

    Raises:
        RecordError: not such a text, or outside 1970 to 2100.
    """
    if not isinstance(text, str):
        raise RecordError(f"the time is not a text but {type(text).__name__}")
    if _USUAL_TIME.fullmatch(text):
        return _parse_usual_time(text)
    trimmed = text.strip()
    bare = _UTC_SUFFIX.sub("", trimmed)
    # RFC 3339 lets T and Z be small
    match = _ANY_TIME.fullmatch(bare.upper()) if len(bare) <= _LONGEST_TEXT else None
    if match is None:
        raise RecordError(f"not a time: {trimmed[:60]!r}")
    if bare != trimmed and match["zone"]:
        raise RecordError(f"a time with two timezones: {trimmed[:60]!r}")
    try:
        instant = _midnight(match) + _time_of_day(match) - _offset(match)
    except ValueError:
        raise RecordError(f"not a time: {trimmed[:60]!r}") from None
    return check_instant(instant)


@lru_cache(maxsize=4096)
def _parse_usual_time(text: str) -> int:
    """Return the microseconds of a text in the form that programs write.

    It takes a third of the time. The results are cached, since many stores are polled at one time.
    """
    try:
        since = datetime.fromisoformat(text[:-1]) - _NAIVE_EPOCH
    except ValueError:
        raise RecordError(f"not a time: {text!r}") from None
    return check_instant((since.days * 86_400 + since.seconds) * SECOND + since.microseconds)


def _midnight(match: re.Match[str]) -> int:
    """Return the start of the date of a time, without its UTC offset; µs.

    Raises:
        ValueError: the date does not exist.
    """
    year = int(match["year"])
    if match["week"]:
        day = date.fromisocalendar(year, int(match["week"]), int(match["weekday"] or 1))
    else:
        day = date(year, int(match["month"] or match["month_"]), int(match["day"] or match["day_"]))
    return (day - _EPOCH.date()).days * DAY


def _time_of_day(match: re.Match[str]) -> int:
    """Return the microseconds since midnight; digits after the sixth decimal are cut off.

    `24:00` is the end of the day.

    Raises:
        ValueError: no clock shows this time of day.
    """
    hour, minute, second = (int(match[name] or 0) for name in ("hour", "minute", "second"))
    micros = int(((match["fraction"] or "") + "000000")[:6])
    time = hour * HOUR + minute * MINUTE + second * SECOND + micros
    if minute > 59 or second > 59 or time > DAY:
        raise ValueError("no clock shows that")
    return time


def _offset(match: re.Match[str]) -> int:
    """Return the UTC offset of a time; µs."""
    if match["sign"] is None:
        return 0
    hour, minute, second = (int(match[f"zone_{n}"] or 0) for n in ("hour", "minute", "second"))
    ahead = hour * HOUR + minute * MINUTE + second * SECOND
    return -ahead if match["sign"] == "-" else ahead


def check_instant(instant: int) -> int:
    """Return the instant itself if it lies in 1970 to 2100.

    Raises:
        RecordError: outside that range.
    """
    if not 0 <= instant < LATEST:
        as_nanoseconds = instant // 1000
        guess = ""
        if _LATE_CENTURY <= as_nanoseconds < LATEST:
            guess = f"; read as nanoseconds it is {format_instant(as_nanoseconds)}"
        raise RecordError(f"a time outside 1970 to 2100: {instant} µs{guess}")
    return instant


def format_instant(instant: int) -> str:
    """Return an instant as ISO 8601 in UTC with `Z`, with a fraction only if it has one."""
    return to_datetime(instant).isoformat().replace("+00:00", "Z")
