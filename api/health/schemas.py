"""Health and metrics. No `from __future__ import annotations`: pydantic reads the shapes."""

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
    """Reports can be answered."""

    status: Literal["ready"]


OPERATIONS: Final[Mapping[tuple[str, str], Operation]] = {
    ("GET", "/healthz"): Operation(answers={200: Answer("It does.", {JSON: Health})}),
    ("GET", "/readyz"): Operation(
        answers={
            200: Answer("They can.", {JSON: Readiness}),
            **unavailable("They cannot, and why."),
        }
    ),
    ("GET", "/metrics"): Operation(
        answers={200: Answer("The metrics.", {"text/plain": str})},
        text="The page on metrics lists all names, labels and meanings; no label holds a store id.",
    ),
}
