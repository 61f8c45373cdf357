"""Polls by HTTP. pydantic reads the types: no `from __future__ import annotations`."""

from collections.abc import Mapping
from typing import Annotated, Final, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from api.ingest.batch import MAX_REJECTED_ITEMS
from api.ingest.rejected_items import LISTED_ITEMS
from api.openapi.operation import (
    JSON,
    Answer,
    Body,
    Operation,
    body_problems,
    problem,
    unavailable,
)
from api.openapi.problem_schema import Problem
from api.stores.schemas import STORE_ID
from stream_app.contracts.fields import Count, Instant, Status, StoreId, closed
from stream_app.contracts.polls import PollBody, PollItem

MAX_POLL_BYTES: Final = 65_536
"""Largest body of one poll, and longest line of many."""

MAX_ARRAY_BYTES: Final = 8 << 20
"""Largest JSON array, which is read as a whole."""

MAX_STREAM_BYTES: Final = 64 << 20
"""Largest NDJSON body, which is read line by line."""


@closed
class PollAnswer(TypedDict):
    """The poll as it was accepted."""

    store_id: StoreId
    status: Status
    timestamp_utc: Instant


@closed
class RefusedItem(TypedDict):
    """An item that was rejected; it becomes a dead letter."""

    index: Count
    """The index in the JSON array, or the line in NDJSON, from 0 on."""
    reason: str


@closed
class PollsAnswer(TypedDict):
    """The numbers of accepted and rejected items, and the reasons of the rejected ones."""

    accepted: Count
    refused: Count
    items: Annotated[list[RefusedItem], Field(max_length=LISTED_ITEMS)]
    """The rejected items."""
    not_listed: NotRequired[Annotated[int, Field(ge=1)]]
    """The number of further rejected items, which `items` does not list."""


@closed
class ItemsProblem(Problem):
    """An error after which some items may have been accepted."""

    accepted: NotRequired[Count]
    """The number of items that the broker has."""
    refused: NotRequired[Count]
    """The number of rejected items."""
    items: NotRequired[Annotated[list[RefusedItem], Field(max_length=LISTED_ITEMS)]]
    """The rejected items, if none was accepted."""
    not_listed: NotRequired[Annotated[int, Field(ge=1)]]
    """The number of further rejected items, which `items` does not list."""


OPERATIONS: Final[Mapping[tuple[str, str], Operation]] = {
    ("POST", "/stores/{store_id}/status"): Operation(
        text="A store that does not exist is made. A poll that is sent twice counts once.",
        parameters=(STORE_ID,),
        body=Body("", {JSON: PollBody}),
        answers={
            202: Answer("The broker has the poll.", {JSON: PollAnswer}),
            **body_problems(f"The body is larger than {MAX_POLL_BYTES:,} bytes."),
            422: problem(
                "The poll cannot be used, or its time is too early or too late: see dead letters."
            ),
            **unavailable("The broker is out of reach."),
        },
    ),
    ("POST", "/status"): Operation(
        text="A poll that is sent twice counts once.",
        body=Body(
            f"A JSON array of at most {MAX_ARRAY_BYTES:,} bytes, or NDJSON of at most "
            f"{MAX_STREAM_BYTES:,} bytes with one item a line; an item may have several lines too.",
            {
                JSON: Annotated[list[PollItem], Field(min_length=1)],
                "application/x-ndjson": Annotated[str, Field(min_length=1)],
            },
        ),
        answers={
            202: Answer("The broker has all items except the rejected ones.", {JSON: PollsAnswer}),
            **body_problems(
                "The body is too large; the items of NDJSON before the limit count.",
                ItemsProblem,
            ),
            422: problem(
                "The body has no items, or none of its items is accepted, or more than "
                f"{MAX_REJECTED_ITEMS:,} are rejected.",
                shape=ItemsProblem,
            ),
            **unavailable("The broker is out of reach: send the whole body again.", ItemsProblem),
        },
    ),
}
