"""Calls on stores. pydantic reads the types: no `from __future__ import annotations`."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from api.openapi.operation import (
    JSON,
    Answer,
    Body,
    Operation,
    Parameter,
    body_problems,
    problem,
    unavailable,
)
from stream_app.contracts.business_hours import (
    MAX_HOURS_ROWS,
    HoursBody,
    HoursRow,
)
from stream_app.contracts.fields import StoreId, closed
from stream_app.contracts.stores import TimezoneBody, TimezoneBodyShort
from stream_app.domain.identifiers import UUID_PREFIX

MAX_HOURS_BYTES: Final = 256 << 10
"""Largest body of business hours: the most rows fit, also as objects."""

MAX_TIMEZONE_BYTES: Final = 65_536
"""Largest body of a timezone."""

PAGE_STORES: Final = 100
"""Store ids of a page when a request names no limit."""

MAX_PAGE_STORES: Final = 1_000
"""Largest limit of a page, in store ids."""


class _Timezone(TypedDict):
    timezone_str: str | None
    """The timezone as it was given; null if none was given."""
    timezone: str
    """The timezone that applies: the default one if none, or an unknown one, was given."""
    warning: NotRequired[str]
    """A text which says that the given timezone is unknown, and which one applies."""


@closed
class HoursAnswer(TypedDict):
    """The business hours of a store, as they are now."""

    store_id: StoreId
    business_hours: list[HoursRow] | None
    """The rows of business hours; null if the store is open 24/7."""
    warning: NotRequired[str]
    """A text that names rows without an effect."""


@closed
class TimezoneAnswer(_Timezone):
    """The timezone of a store, as it is now."""

    store_id: StoreId


@closed
class Store(_Timezone):
    """The facts of a store besides its polls."""

    store_id: StoreId
    business_hours: list[HoursRow] | None
    """The rows of business hours; null if the store is open 24/7."""


@closed
class StoreRemoved(TypedDict):
    """The answer to the removal of a store."""

    store_id: StoreId
    removed: Literal[True]
    """Always true."""


@closed
class StoresPage(TypedDict):
    """Some of the stores, in the order of their ids."""

    store_ids: list[StoreId]
    next: str | None
    """The address of the next page; null on the last page."""


STORE_ID: Final = Parameter("store_id", "path", "The store.", StoreId)
NO_STORE: Final = {404: problem("The store is unknown: it has no poll, hours or timezone.")}
UNAVAILABLE: Final = unavailable("The broker is out of reach, or the workers are behind.")

OPERATIONS: Final[Mapping[tuple[str, str], Operation]] = {
    ("PUT", "/stores/{store_id}/business_hours"): Operation(
        text="A store that does not exist is made.",
        parameters=(STORE_ID,),
        body=Body(f"At most {MAX_HOURS_ROWS:,} rows.", {JSON: HoursBody}),
        answers={
            202: Answer("The broker has the business hours.", {JSON: HoursAnswer}),
            **body_problems(f"The body is larger than {MAX_HOURS_BYTES:,} bytes."),
            422: problem(
                "The business hours, or the store id, cannot be used: nothing was changed."
            ),
            **unavailable("The broker is out of reach."),
        },
    ),
    ("PUT", "/stores/{store_id}/timezone"): Operation(
        text="A store that does not exist is made.",
        parameters=(STORE_ID,),
        body=Body("The name of an IANA timezone.", {JSON: TimezoneBody | TimezoneBodyShort}),
        answers={
            202: Answer("The broker has the timezone.", {JSON: TimezoneAnswer}),
            **body_problems(f"The body is larger than {MAX_TIMEZONE_BYTES:,} bytes."),
            422: problem("The timezone, or the store id, cannot be used: nothing was changed."),
            **unavailable("The broker is out of reach."),
        },
    ),
    ("GET", "/stores/{store_id}"): Operation(
        parameters=(STORE_ID,),
        answers={
            200: Answer("The store.", {JSON: Store}),
            **NO_STORE,
            422: problem("The store id is not a UUID."),
            **UNAVAILABLE,
        },
    ),
    ("DELETE", "/stores/{store_id}"): Operation(
        text="The polls, business hours and timezone of the store are removed, and no view shows "
        "it any more. Input that comes later makes the store anew.",
        parameters=(STORE_ID,),
        answers={
            202: Answer("The store is removed.", {JSON: StoreRemoved}),
            **NO_STORE,
            422: problem("The store id is not a UUID."),
            429: problem("Too much is waiting for the broker."),
            **unavailable(
                "The broker is out of reach, or the workers are behind: send the request again."
            ),
        },
    ),
    ("GET", "/stores"): Operation(
        parameters=(
            Parameter(
                "prefix",
                "query",
                "The beginning of the ids, with their dashes or without.",
                Annotated[str, Field(pattern=rf"^\s*{UUID_PREFIX}\s*$")],
            ),
            Parameter(
                "after",
                "query",
                "The id after which the page begins; without it: the first page.",
                StoreId,
            ),
            Parameter(
                "limit",
                "query",
                "The largest number of ids on a page.",
                Annotated[
                    int, Field(ge=1, le=MAX_PAGE_STORES, json_schema_extra={"default": PAGE_STORES})
                ],
            ),
        ),
        answers={
            200: Answer("A page of ids.", {JSON: StoresPage}),
            422: problem("A parameter has a value that is not allowed."),
            **UNAVAILABLE,
        },
    ),
}
