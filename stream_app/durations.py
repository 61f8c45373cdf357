"""Durations: microseconds inside, and `90s`, `15m`, `1h`, `7d` or a sum such as `1h30m` as text."""

from __future__ import annotations

import re
from typing import Final

from stream_app.domain.timestamps import DAY, HOUR, MINUTE, SECOND

_UNITS: Final = {"d": DAY, "h": HOUR, "m": MINUTE, "s": SECOND, "ms": SECOND // 1000}
_DURATION: Final = re.compile(r"(?:[0-9]+(?:ms|[dhms]))+")
_DURATION_PART: Final = re.compile(r"([0-9]+)(ms|[dhms])")


def parse_duration(text: str) -> int:
    """Read a duration such as `1h30m`, `90s` or `7d`, in microseconds.

    Raises:
        ValueError: the text is no duration.
    """
    compact = text.replace(" ", "").lower()
    if not _DURATION.fullmatch(compact):
        raise ValueError("not a duration such as 90s, 15m, 1h30m or 7d")
    return sum(int(count) * _UNITS[unit] for count, unit in _DURATION_PART.findall(compact))


def format_duration(microseconds: int) -> str:
    """Write the shortest text that `parse_duration` reads back."""
    rest = microseconds
    text = ""
    for unit, size in _UNITS.items():
        count, rest = divmod(rest, size)
        if count:
            text += f"{count}{unit}"
    return text or "0s"


def is_duration(text: str) -> bool:
    """Check whether a text is a duration as `format_duration` writes it."""
    return _DURATION.fullmatch(text) is not None
