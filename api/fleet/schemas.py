"""Answers about all stores. pydantic reads the types: no `from __future__ import annotations`."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import Field, Json
from typing_extensions import TypedDict

from api.fleet.pages import Sort
from api.fleet.service import FIGURES_SECONDS, MAX_CHANGES, SIGN_OF_LIFE_SECONDS, TICK_SECONDS
from api.fleet.state import State
from api.http.event_stream import MAX_STREAMS
from api.openapi.operation import (
    JSON,
    STREAM,
    Answer,
    Operation,
    Parameter,
    problem,
    unavailable,
)
from stream_app.contracts.fields import Count, Instant, StoreId, closed
from stream_app.contracts.report_schemas import Coverage, NewestPoll, WindowFigures

PAGE_STORES: Final = 50
"""Stores of a page when a request names no limit."""

MAX_PAGE_STORES: Final = 200
"""Largest limit of a page, in stores."""

MAX_PAGE: Final = 100_000
"""Highest number of a page."""

LocalTime = Annotated[str, Field(json_schema_extra={"format": "date-time"})]


@closed
class StoreFigures(WindowFigures):
    """The figures of a store's last hour (in minutes), day and week (in hours)."""

    coverage: Coverage
    """The share of the week's business hours that polls cover."""


@closed
class StoreNow(TypedDict):
    """A store as it is now."""

    store_id: StoreId
    state: State
    timezone: str
    """The timezone that applies."""
    local_time: LocalTime | None
    """The time on the store's own clock."""
    last_poll: NewestPoll | None
    open_changes_at: Instant | None
    """The time at which the store next opens or closes; null if it never does."""
    figures: StoreFigures | None
    """The figures of the store; null if they are not known yet."""


@closed
class Counts(TypedDict):
    """The number of stores in each state."""

    up: Count
    down: Count
    unknown: Count
    closed: Count
    total: Count


@closed
class DataFreshness(TypedDict):
    """The age of the data that is shown."""

    at: Instant
    """The time on the clock of the service."""
    as_of: Instant | None
    """The time by which everything that was acknowledged is shown; null if it is not known yet."""
    delayed: bool
    """True if the data is older than it should be."""
    part: Literal["broker", "workers"] | None
    """The part that delays the data: the message broker is lost, or the workers are behind."""
    reason: str | None
    """The reason for the delay, in words; null if the data is live."""
    newest_poll: Instant | None
    """The newest poll of all stores."""
    newest_poll_stale: bool
    """True if the newest poll is older than STORE_UPTIME_STALE_AFTER, with the clock `data`."""


@closed
class FleetPage(TypedDict):
    """Some of the stores, and how many there are."""

    now: Instant | None
    """The present time by `clock`; null if no poll has come in yet."""
    clock: Literal["data", "wall"]
    """`data`: the time of the newest poll is the present; `wall`: the clock of the service is."""
    counts: Counts
    """The number of all stores by state, whatever was requested."""
    matching: Count
    """The number of stores that match the request, on all pages."""
    page: Annotated[int, Field(ge=1)]
    pages: Annotated[int, Field(ge=1)]
    zones: list[str]
    """The timezones in which there are stores."""
    figures_at: Instant | None
    """The reference time of all figures; null if none are known yet."""
    freshness: DataFreshness
    stores: Annotated[list[StoreNow], Field(max_length=MAX_PAGE_STORES)]


@closed
class ChangedStore(TypedDict):
    """A store that changed."""

    store_id: StoreId
    state: State
    last_poll: NewestPoll | None


@closed
class FleetChange(TypedDict):
    """The changes since the last event; the first event names no store."""

    now: Instant | None
    counts: Counts
    changed: Annotated[list[ChangedStore], Field(max_length=MAX_CHANGES)]
    removed: Annotated[list[StoreId], Field(max_length=MAX_CHANGES)]
    """The stores that no longer exist."""
    more: bool
    """True if more stores than the named ones, or figures, have changed: request the page again."""
    figures_at: Instant | None
    """The reference time of all figures; null if none are known yet."""
    freshness: DataFreshness


@closed
class FleetEvent(TypedDict):
    """An event of the stream."""

    event: Literal["fleet"]
    id: str
    data: Json[FleetChange]


OPERATIONS: Final[Mapping[tuple[str, str], Operation]] = {
    ("GET", "/fleet"): Operation(
        text=f"The figures are requested anew when they are {FIGURES_SECONDS:g} s old.",
        parameters=(
            Parameter(
                "state",
                "query",
                "The states that a store may be in; without it: any state.",
                Annotated[list[State], Field(min_length=1)],
            ),
            Parameter(
                "zone",
                "query",
                "The timezone of the stores; without it: any.",
                Annotated[str, Field(pattern=r"\S")],
            ),
            Parameter(
                "q",
                "query",
                "A part of the store id, with its dashes or without.",
                Annotated[str, Field(pattern=r"^\s*[0-9a-fA-F-]{1,36}\s*$")],
            ),
            Parameter(
                "sort", "query", "The order of the stores; without it: the worst first.", Sort
            ),
            Parameter(
                "limit",
                "query",
                "The largest number of stores on a page.",
                Annotated[
                    int, Field(ge=1, le=MAX_PAGE_STORES, json_schema_extra={"default": PAGE_STORES})
                ],
            ),
            Parameter(
                "page",
                "query",
                "The number of the page; the first one is 1.",
                Annotated[int, Field(ge=1, le=MAX_PAGE, json_schema_extra={"default": 1})],
            ),
        ),
        answers={
            200: Answer("A page of stores.", {JSON: FleetPage}),
            422: problem("A parameter has a value that is not allowed."),
            **unavailable("The broker is out of reach."),
        },
    ),
    ("GET", "/fleet/events"): Operation(
        text="Server-sent events. The first one comes at once, the others when something has "
        f"changed: at most one every {TICK_SECONDS:g} s, and at least one every "
        f"{SIGN_OF_LIFE_SECONDS:g} s.",
        parameters=(
            Parameter(
                "store_id",
                "query",
                "The only store whose changes are sent; without it: all stores.",
                StoreId,
            ),
        ),
        answers={
            200: Answer("The stream of events. It does not end by itself.", {STREAM: FleetEvent}),
            422: problem("The store id is not a UUID."),
            **unavailable(
                f"The broker is out of reach, or {MAX_STREAMS} streams are open already."
            ),
        },
    ),
}
