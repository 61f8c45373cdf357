"""The wall clock."""

from __future__ import annotations

import time


def wall_clock() -> int:
    """Read the wall clock, in µs since 1970."""
    return time.time_ns() // 1000
