"""The status page. pydantic reads the types: no `from __future__ import annotations`."""

from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import Field
from typing_extensions import TypedDict

from api.fleet.badge_schemas import PICTURE, UNAVAILABLE, WINDOW
from api.fleet.schemas import Counts, DataFreshness, LocalTime
from api.fleet.state import State
from api.openapi.operation import JSON, Answer, Operation, problem
from api.stores.schemas import STORE_ID
from stream_app.contracts.fields import Count, Instant, StoreId, closed
from stream_app.contracts.report_schemas import Coverage

Share = Annotated[float, Field(ge=0, le=1)] | None


@closed
class UptimeShares(TypedDict):
    """The share of its open time that a store was up; null if it was not open, or not known yet."""

    last_day: Share
    last_week: Share


@closed
class CoveredShares(TypedDict):
    """The share of open time that polls cover; null if it was not open, or not known yet."""

    last_day: Share
    last_week: Share


@closed
class ShownDay(TypedDict):
    """A local day of a store: a whole one, or the present one."""

    date: str
    uptime_minutes: Count
    downtime_minutes: Count
    unknown_uptime_minutes: Count
    """The part of the uptime that no poll covers."""
    unknown_downtime_minutes: Count
    """The part of the downtime that no poll covers."""
    coverage: Coverage
    whole_day: bool
    """False if the day is not over."""


@closed
class ShownStore(TypedDict):
    """A store of the status page."""

    name: str
    store_id: StoreId
    state: State
    timezone: str | None
    """The timezone that applies; null, like the fields below, if the store is not known yet."""
    local_time: LocalTime | None
    last_poll_at: Instant | None
    open_changes_at: Instant | None
    """The time at which the store next opens or closes; null if it never does."""
    open_changes_local: LocalTime | None
    """`open_changes_at` on the store's own clock."""
    uptime: UptimeShares
    coverage: CoveredShares
    days: list[ShownDay]
    """The last whole local days and the present one, the oldest first."""


@closed
class StatusPage(TypedDict):
    """The content of the status page."""

    title: str
    now: Instant | None
    freshness: DataFreshness
    counts: Counts
    stores: list[ShownStore]


_NO_PAGE: Final = problem("There is no status page, since the settings choose no store for it.")

OPERATIONS: Final[Mapping[tuple[str, str], Operation]] = {
    ("GET", "/public/status.json"): Operation(
        answers={
            200: Answer("The chosen stores.", {JSON: StatusPage}),
            404: _NO_PAGE,
            **UNAVAILABLE,
        }
    ),
    ("GET", "/public/badges/fleet.svg"): Operation(
        answers={200: PICTURE, 404: _NO_PAGE, **UNAVAILABLE}
    ),
    ("GET", "/public/badges/{store_id}.svg"): Operation(
        parameters=(STORE_ID, WINDOW),
        answers={
            200: PICTURE,
            404: problem("The store is not chosen, or there is no status page."),
            422: problem("The store id is not a UUID, or there is no such window."),
            **UNAVAILABLE,
        },
    ),
}
