"""Queries about one store. pydantic reads the types: no `from __future__ import annotations`."""

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
    """The seconds by which the store's clock is ahead of UTC, from a time until the next one."""

    start: Instant
    offset_seconds: int


UtcOffsets = Annotated[list[UtcOffset], Field(max_length=10_000)]


class _Basis(TypedDict):
    store_id: StoreId
    timezone: str
    """The timezone that applies."""
    stale_after: str
    """The time after a poll that the poll covers."""
    lookback: str
    """The time before the range in which a poll still counts for its beginning."""
    default_status: Status
    """The status that counts while no poll gives one."""


@closed
class Summary(_Basis):
    """A store as it is now, and its three windows."""

    state: State
    now: Instant | None
    """The time that the answer is about."""
    unknown_timezone: str | None
    """The given timezone if it is unknown, so that the default applies; null if it is known."""
    local_time: LocalTime | None
    """The time on the store's own clock."""
    utc_offsets: UtcOffsets
    """The UTC offsets of the store's clock, from its newest poll to its next opening or closing."""
    business_hours: list[HoursRow] | None
    """The rows of business hours; null if the store is open 24/7."""
    open_changes_at: Instant | None
    """The time at which the store next opens or closes; null if it never does."""
    last_poll: NewestPoll | None
    reference_time: Instant
    """The reference time, at which the windows end."""
    windows: Annotated[list[Window], Field(min_length=3, max_length=3)]


@closed
class Timeline(_Basis):
    """A time range of a store, as segments in which nothing changes."""

    start: Instant
    end: Instant
    coverage: Coverage
    """The share of business hours that polls cover; null if there are no business hours."""
    utc_offsets: UtcOffsets
    """The UTC offsets of the store's clock in this time."""
    intervals: Annotated[list[Interval], Field(max_length=MAX_INTERVALS)]
    """The segments of the timeline in order, without gaps."""
    days: list[LocalDay]


@closed
class IncidentsPage(TypedDict):
    """Some of the incidents in a time range, the newest one first."""

    store_id: StoreId
    timezone: str
    """The timezone that applies."""
    start: Instant
    end: Instant
    utc_offsets: UtcOffsets
    """The UTC offsets of the store's clock in this time."""
    incidents: Annotated[list[Incident], Field(max_length=MAX_INCIDENTS)]
    next: str | None
    """The address of the next page; null on the last page."""


_SPAN: Final = (
    Parameter(
        "from",
        "query",
        "The start of the time range; without it: seven days before its end.",
        Instant,
    ),
    Parameter(
        "to",
        "query",
        "The end of the time range; without it: the present, by the reference clock.",
        Instant,
    ),
)
_UNAVAILABLE: Final = unavailable(
    f"The broker is out of reach, or no worker answered within {QUERY_SECONDS:g} s."
)
_NO_SPAN: Final = problem(
    "A parameter has a value that is not allowed, the time range is empty or longer than "
    f"{MAX_SPAN // DAY} days, or no poll of any store has come in yet."
)

OPERATIONS: Final[Mapping[tuple[str, str], Operation]] = {
    ("GET", "/stores/{store_id}/summary"): Operation(
        parameters=(STORE_ID,),
        answers={
            200: Answer("The store.", {JSON: Summary}),
            **NO_STORE,
            422: problem("The store id is not a UUID, or no poll of any store has come in yet."),
            **_UNAVAILABLE,
        },
    ),
    ("GET", "/stores/{store_id}/timeline"): Operation(
        parameters=(STORE_ID, *_SPAN),
        answers={
            200: Answer("The intervals and the days.", {JSON: Timeline}),
            **NO_STORE,
            422: _NO_SPAN,
            **_UNAVAILABLE,
        },
    ),
    ("GET", "/stores/{store_id}/incidents"): Operation(
        parameters=(
            STORE_ID,
            *_SPAN,
            Parameter(
                "after",
                "query",
                "The start of an incident: the page has only earlier ones.",
                Instant,
            ),
            Parameter(
                "limit",
                "query",
                "The largest number of incidents on a page.",
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
            **_UNAVAILABLE,
        },
    ),
}
