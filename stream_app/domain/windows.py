"""The windows of a report, and the functions that count an interval in them.

Windows end at the reference time and are spans of elapsed time, so they are nested:

    reference - 7 d                          - 24 h        - 1 h   reference
    |------------------ week ------------------------------------------|
                                             |--------- day -----------|
                                                           |-- hour ---|

The grid of whole minutes is counted back from the reference time: point k is
`reference - k * MINUTE` for k = 1, 2, 3, ... and stands for the minute that it begins.
"""

from __future__ import annotations

from typing import Final

from stream_app.domain.timestamps import DAY, HOUR, MINUTE, WEEK

HOUR_WINDOW: Final = HOUR
DAY_WINDOW: Final = DAY
WEEK_WINDOW: Final = WEEK


def grid_minutes(start: int, end: int, reference: int) -> int:
    """Count the points of the minute grid in `[start, end)`, in closed form.

    Point k lies at or after an instant when k <= (reference - instant) / MINUTE; so the
    points from `start` on, less the points from `end` on.
    """
    if end > reference:
        end = reference
    if start >= end:
        return 0
    return (reference - start) // MINUTE - (reference - end) // MINUTE


def exact_microseconds(start: int, end: int, reference: int) -> int:
    """Return the microseconds of `[start, end)` before the reference time, without a grid."""
    if end > reference:
        end = reference
    return end - start if start < end else 0
