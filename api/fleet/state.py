"""The state of a store at an instant, its opening hours and its figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from stream_app.domain.business_hours import WeeklyHours, open_intervals
from stream_app.domain.intervals import union
from stream_app.domain.report import FIGURE_NAMES
from stream_app.domain.report_spec import unknown_columns_of
from stream_app.domain.timestamps import DAY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pytz.tzinfo import BaseTzInfo

State = Literal["down", "unknown", "up", "closed"]
STATES: Final[tuple[State, ...]] = get_args(State)
"""The states, the worst one first."""

LOOK_AHEAD: Final = 8 * DAY
"""Time within which every store opens or closes that ever does, even if the clocks change."""

_FIGURES: Final = (*FIGURE_NAMES, "coverage")
_UNKNOWN_FIGURES: Final = unknown_columns_of(FIGURE_NAMES)

FIGURE_FIELDS: Final = frozenset(_FIGURES)
"""The fields of a report row that `figures_in` reads."""


@dataclass(frozen=True, slots=True)
class StoreState:
    """A store at an instant.

    Attributes:
        store_id: the store.
        state: up, down, unknown or closed.
        timezone: the timezone that applies.
        polled_at: the time of its newest poll, µs; None if there is no poll.
        active: whether that poll is active.
        opening_changes_at: the time at which it next opens or closes, µs; None if it never does.
        figures: the figures of its last report in this process, by name; None before the first.
    """

    store_id: str
    state: State
    timezone: str
    polled_at: int | None
    active: bool
    opening_changes_at: int | None
    figures: dict[str, Any] | None


def opening(rows: Iterable[Sequence[Any]], tz: BaseTzInfo, now: int) -> tuple[bool, int | None]:
    """Return whether a store with these hours is open, and when that changes, µs.

    Returns:
        the time of the change is None if the store never opens or never closes.
    """
    end = now + LOOK_AHEAD
    weekly = WeeklyHours.from_rows((day, start, close) for day, start, close in rows)
    opened = union(open_intervals(weekly, tz, now, end))
    is_open = bool(opened) and opened[0][0] == now
    opening_changes_at = end if not opened else opened[0][1] if is_open else opened[0][0]
    return is_open, None if opening_changes_at == end else opening_changes_at


def figures_in(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures that answers have of a store, from its report of the three windows."""
    # a report of an earlier version does not have the unknown time
    unknown = {name: report[name] for name in _UNKNOWN_FIGURES if name in report}
    return {name: report[name] for name in _FIGURES} | unknown


def worst_key(report: Mapping[str, Any]) -> float:
    """Return the sort key: downtime that polls cover, then all that counts as downtime."""
    down: float = report["downtime_last_day"]
    covered = round(down - report.get("unknown_downtime_last_day", 0), 2)
    # a day has 24 hours, so the second part is less than the least step of the first
    worst: float = -(covered + down / 10_000)
    return worst
