"""The shape of errors. pydantic reads the types: no `from __future__ import annotations`."""

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict

from stream_app.contracts.fields import closed

Seconds = Annotated[int, Field(ge=1)]


@closed
class Problem(TypedDict):
    """An error (RFC 9457)."""

    type: Literal["about:blank"]
    title: str
    """The name of the HTTP status."""
    status: Annotated[int, Field(ge=400, le=599)]
    detail: str
    """The error in one line for a person."""
