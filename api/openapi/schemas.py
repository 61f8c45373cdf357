"""The documents themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from api.openapi.operation import JSON, Answer, Operation

if TYPE_CHECKING:
    from collections.abc import Mapping

OPERATIONS: Final[Mapping[tuple[str, str], Operation]] = {
    ("GET", "/openapi.json"): Operation(
        answers={200: Answer("An OpenAPI 3.1 document.", {JSON: dict[str, Any]})}
    ),
    ("GET", "/asyncapi.json"): Operation(
        answers={200: Answer("An AsyncAPI 3 document.", {JSON: dict[str, Any]})}
    ),
    ("GET", "/docs"): Operation(answers={200: Answer("The page.", {"text/html": str})}),
}
