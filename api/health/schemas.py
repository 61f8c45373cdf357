"""Health and metrics. pydantic reads the types: no `from __future__ import annotations`."""

from collections.abc import Mapping
from typing import Final, Literal

from typing_extensions import TypedDict

from api.openapi.operation import JSON, Answer, Operation, unavailable
from stream_app.contracts.fields import closed


@closed
class Health(TypedDict):
    """This process answers."""

    status: Literal["ok"]


@closed
class Readiness(TypedDict):
    """Reports can be made."""

    status: Literal["ready"]


OPERATIONS: Final[Mapping[tuple[str, str], Operation]] = {
    ("GET", "/healthz"): Operation(answers={200: Answer("This process answers.", {JSON: Health})}),
    ("GET", "/readyz"): Operation(
        answers={
            200: Answer("Reports can be made.", {JSON: Readiness}),
            **unavailable("Reports cannot be made; `detail` says why."),
        }
    ),
    ("GET", "/metrics"): Operation(
        answers={200: Answer("The metrics.", {"text/plain": str})},
        text="A page of the documentation lists all names and labels. No label has a store id.",
    ),
}
