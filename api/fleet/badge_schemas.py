"""Badges. pydantic reads the types: no `from __future__ import annotations`."""

from collections.abc import Mapping
from typing import Final

from api.fleet.badge import Window
from api.openapi.operation import Answer, Operation, Parameter, problem, unavailable
from api.reports.service import QUERY_SECONDS
from api.stores.schemas import NO_STORE, STORE_ID

SVG: Final = "image/svg+xml"

PICTURE: Final = Answer("The picture.", {SVG: str})
WINDOW: Final = Parameter(
    "window", "query", "The window whose uptime is shown; without it: the week.", Window
)
UNAVAILABLE: Final = unavailable("The broker is out of reach.")

OPERATIONS: Final[Mapping[tuple[str, str], Operation]] = {
    ("GET", "/badges/fleet.svg"): Operation(answers={200: PICTURE, **UNAVAILABLE}),
    ("GET", "/badges/{store_id}.svg"): Operation(
        parameters=(STORE_ID, WINDOW),
        answers={
            200: PICTURE,
            **NO_STORE,
            422: problem("The store id is not a UUID, or there is no such window."),
            **unavailable(
                f"The broker is out of reach, or no worker answered within {QUERY_SECONDS:g} s."
            ),
        },
    ),
}
