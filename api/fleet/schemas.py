"""All stores as they are now. No `from __future__ import annotations`: pydantic reads it."""

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
    """A store's last hour (minutes), day and week (hours)."""

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
    """The time at which the store next opens or closes; null: never."""
    figures: StoreFigures | None
    """Null: not known yet."""


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
    """The clock of the service."""
    as_of: Instant | None
    """All that was acknowledged by then is shown; null: not known yet."""
    delayed: bool
    """The data is older than it should be."""
    part: Literal["broker", "workers"] | None
    """The part that delays the data: the message broker is lost, or the workers are behind."""
    reason: str | None
    """The same in words."""
    newest_poll: Instant | None
    """The newest poll of all stores."""
    newest_poll_stale: bool
    """True if the newest poll is older than STORE_UPTIME_STALE_AFTER, with the clock `data`."""


@closed
class FleetPage(TypedDict):
    """Some of the stores, and how many there are."""

    now: Instant | None
    """The instant that is shown, by `clock`; null: no poll has come in yet."""
    clock: Literal["data", "wall"]
    """`data`: the newest poll of all stores is now; `wall`: the clock says what is now."""
    counts: Counts
    """The number of all stores by state, whatever was requested."""
    matching: Count
    """Stores that were asked for, on all pages."""
    page: Annotated[int, Field(ge=1)]
    pages: Annotated[int, Field(ge=1)]
    zones: list[str]
    """The timezones in which there are stores."""
    figures_at: Instant | None
    """The reference time of all figures; null: none are known yet."""
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
    """The changes since the last event; the first one names no store."""

    now: Instant | None
    counts: Counts
    changed: Annotated[list[ChangedStore], Field(max_length=MAX_CHANGES)]
    removed: Annotated[list[StoreId], Field(max_length=MAX_CHANGES)]
    """Stores that do not exist any more."""
    more: bool
    """True if more has changed than is named, figures too: request the page again."""
    figures_at: Instant | None
    """The reference time of all figures; null: none are known yet."""
    freshness: DataFreshness


@closed
class FleetEvent(TypedDict):
    """An event of the stream."""

    event: Literal["fleet"]
    id: str
    data: Json[FleetChange]


OPERATIONS: Final[Mapping[tuple[str, str], Operation]] = {
    ("GET", "/fleet"): Operation(
        text=f"Figures are asked for anew when they are {FIGURES_SECONDS:g} s old.",
        parameters=(
            Parameter(
                "state",
                "query",
                "In any of these states; without it: all.",
                Annotated[list[State], Field(min_length=1)],
            ),
            Parameter("zone", "query", "In this timezone.", Annotated[str, Field(pattern=r"\S")]),
            Parameter(
                "q",
                "query",
                "Part of the store id, with its dashes or without.",
                Annotated[str, Field(pattern=r"^\s*[0-9a-fA-F-]{1,36}\s*$")],
            ),
            Parameter("sort", "query", "The order; without it: the worst first.", Sort),
            Parameter(
                "limit",
                "query",
                "How many stores a page has.",
                Annotated[
                    int, Field(ge=1, le=MAX_PAGE_STORES, json_schema_extra={"default": PAGE_STORES})
                ],
            ),
            Parameter(
                "page",
                "query",
                "Which page, from 1 on.",
                Annotated[int, Field(ge=1, le=MAX_PAGE, json_schema_extra={"default": 1})],
            ),
        ),
        answers={
            200: Answer("A page.", {JSON: FleetPage}),
            422: problem("A parameter has a value that it cannot have."),
            **unavailable("The broker is out of reach."),
        },
    ),
    ("GET", "/fleet/events"): Operation(
        text=f"Server-sent events: the first at once, then one where something changed, at most "
        f"one in {TICK_SECONDS:g} s, and one in {SIGN_OF_LIFE_SECONDS:g} s though nothing changed.",
        parameters=(Parameter("store_id", "query", "Changes of this store alone.", StoreId),),
        answers={
            200: Answer("The stream, which does not end by itself.", {STREAM: FleetEvent}),
            422: problem("The store id is not a UUID."),
            **unavailable(
                f"The broker is out of reach, or {MAX_STREAMS} streams are open already."
            ),
        },
    ),
}
