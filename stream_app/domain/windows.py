"""The windows of a report, and the readings whose differences are the time in a window.

Windows end at the reference time and are spans of elapsed time, so they are nested:

    reference - 7 d                          - 24 h        - 1 h   reference
    |------------------ week ------------------------------------------|
                                             |--------- day -----------|
                                                           |-- hour ---|

The grid of whole minutes is counted back from the reference time: point k is
`reference - k * MINUTE` for k = 1, 2, 3, ... and stands for the minute that it begins.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from stream_app.domain.timestamps import DAY, HOUR, MINUTE, WEEK

HOUR_WINDOW: Final = HOUR
DAY_WINDOW: Final = DAY
WEEK_WINDOW: Final = WEEK

WINDOWS: Final = {"last_hour": HOUR_WINDOW, "last_day": DAY_WINDOW, "last_week": WEEK_WINDOW}
"""The lengths of the three windows in µs, by the names that reports give them."""

Reading = Callable[[Any, int], Any]
"""Reads an instant, or an array of instants, none later than the reference time. The time in
`[start, end)` is the reading of the end less that of the start, however it is split."""


def minute_reading(instant: Any, reference: int) -> Any:
    """Read an instant on the grid of minutes: the number of points at or after it, negative.

    Point k lies at or after an instant when k <= (reference - instant) / MINUTE. So the reading of
    an end less that of a start is the number of points from the start on, less those from the end.
    """
    return -((reference - instant) // MINUTE)


def microsecond_reading(instant: Any, reference: int) -> Any:
    """Read an instant in microseconds, without a grid."""
    return instant - reference
