"""Queries about one store. No `from __future__ import annotations`: pydantic reads it."""

from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import Field
from typing_extensions import TypedDict

from api.fleet.schemas import LocalTime
from api.fleet.state import State
from api.openapi.operation import JSON, Answer, Operation, Parameter, problem, unavailable
from api.reports.service import QUERY_SECONDS
from api.stores.schemas import NO_STORE, STORE_ID
from stream_app.contracts.business_hours import HoursRow
from stream_app.contracts.fields import Instant, Status, StoreId, closed
from stream_app.contracts.report_results import MAX_INCIDENTS, MAX_INTERVALS
from stream_app.contracts.report_schemas import (
    Coverage,
    Incident,
    Interval,
    LocalDay,
    NewestPoll,
    Window,
)
from stream_app.domain.report_spec import MAX_SPAN
from stream_app.domain.timestamps import DAY

PAGE_INCIDENTS: Final = 100
"""Incidents of a page when a request names no limit."""


@closed
class UtcOffset(TypedDict):
    """Seconds by which the store's clock is ahead of UTC, from an instant until the next one."""

    start: Instant
    offset_seconds: int


UtcOffsets = Annotated[list[UtcOffset], Field(max_length=10_000)]


class _Basis(TypedDict):
    store_id: StoreId
    timezone: str
    """The zone that applies."""
    stale_after: str
    """How long a poll backs what is counted."""
    lookback: str
    """How long before the time asked for a poll still counts."""
    default_status: Status
    """What counts where no poll tells."""


@closed
class Summary(_Basis):
    """A store as it is now, and its three windows."""

    state: State
    now: Instant | None
    """The instant that is shown."""
    unknown_timezone: str | None
    """The name that the store was given, where there is no such zone and the default applies."""
    local_time: LocalTime | None
    """What the store's clock shows."""
    utc_offsets: UtcOffsets
    """Of the store's clock, from its newest poll to when it next opens or closes."""
    business_hours: list[HoursRow] | None
    """Null: open 24/7."""
    open_changes_at: Instant | None
    """When it next opens or closes; null: never."""
    last_poll: NewestPoll | None
    reference_time: Instant
    """Where the windows end."""
    windows: Annotated[list[Window], Field(min_length=3, max_length=3)]


@closed
class Timeline(_Basis):
    """A span of a store's time, cut where something changes."""

    start: Instant
    end: Instant
    coverage: Coverage
    """The share of open time that some poll backs; null: there is no open time."""
    utc_offsets: UtcOffsets
    """Of the store's clock in this time."""
    intervals: Annotated[list[Interval], Field(max_length=MAX_INTERVALS)]
    """In order, without gaps."""
    days: list[LocalDay]


@closed
class IncidentsPage(TypedDict):
    """Some of the incidents of a span, the newest one first."""

    store_id: StoreId
    timezone: str
    """The zone that applies."""
    start: Instant
    end: Instant
    utc_offsets: UtcOffsets
    """Of the store's clock in this time."""
    incidents: Annotated[list[Incident], Field(max_length=MAX_INCIDENTS)]
    next: str | None
    """Where the next page is; null: this is the last one."""


_SPAN: Final = (
    Parameter("from", "query", "Where the span begins; without it: seven days before.", Instant),
    Parameter("to", "query", "Where it ends; without it: by the reference clock.", Instant),
)
_AWAY: Final = unavailable(
    f"The broker is out of reach, or no worker answered within {QUERY_SECONDS:g} s."
)
_NO_SPAN: Final = problem(
    "A parameter has a value that it cannot have, the span is empty or longer than "
    f"{MAX_SPAN // DAY} days, or no poll of any store has come in yet."
)

OPERATIONS: Final[Mapping[tuple[str, str], Operation]] = {
    ("GET", "/stores/{store_id}/summary"): Operation(
        parameters=(STORE_ID,),
        answers={
            200: Answer("The store.", {JSON: Summary}),
            **NO_STORE,
            422: problem("The store id is not a UUID, or no poll of any store has come in yet."),
            **_AWAY,
        },
    ),
    ("GET", "/stores/{store_id}/timeline"): Operation(
        parameters=(STORE_ID, *_SPAN),
        answers={
            200: Answer("The intervals and the days.", {JSON: Timeline}),
            **NO_STORE,
            422: _NO_SPAN,
            **_AWAY,
        },
    ),
    ("GET", "/stores/{store_id}/incidents"): Operation(
        parameters=(
            STORE_ID,
            *_SPAN,
            Parameter(
                "after",
                "query",
                "The start of the one behind which the page begins: only earlier ones.",
                Instant,
            ),
            Parameter(
                "limit",
                "query",
                "How many at most.",
                Annotated[
                    int,
                    Field(ge=1, le=MAX_INCIDENTS, json_schema_extra={"default": PAGE_INCIDENTS}),
                ],
            ),
        ),
        answers={
            200: Answer("The incidents.", {JSON: IncidentsPage}),
            **NO_STORE,
            422: _NO_SPAN,
            **_AWAY,
        },
    ),
}
