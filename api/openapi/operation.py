"""The parts that describe an operation of the API, and the answers that many share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from api.http.content_coding import ACCEPTED, MAX_RATIO
from api.http.request_body import IDLE_SECONDS, WHOLE_SECONDS
from api.openapi.problem_schema import Problem, Seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aiohttp import web

JSON: Final = "application/json"
STREAM: Final = "text/event-stream"
"""The media type of server-sent events; its schema is that of each event."""

PROBLEM: Final = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Header:
    """A header of an answer: its description, its shape, and whether every answer has it."""

    text: str
    shape: Any = str
    always: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of one status.

    Attributes:
        text: the case in which it comes.
        content: the shape of the body, by media type.
        headers: the headers by name.
    """

    text: str
    content: Mapping[str, Any]
    headers: Mapping[str, Header] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a request; one in the path is required."""

    name: str
    where: Literal["path", "query", "header"]
    text: str
    shape: Any


@dataclass(frozen=True, slots=True)
class Body:
    """The body of a request.

    Attributes:
        text: a description besides its shape.
        content: its shape, by media type.
        required: whether every request must have one.
    """

    text: str
    content: Mapping[str, Any]
    required: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A method of a path; its summary is the first line of its handler's docstring.

    Attributes:
        answers: the answers by status; `FAILURE` and `BAD_QUERY` need not be named.
        text: a description besides the summary.
        parameters: the parameters in the path, the query and the headers.
        body: the body of the request.
    """

    answers: Mapping[int, Answer]
    text: str = ""
    parameters: tuple[Parameter, ...] = ()
    body: Body | None = None


Key = tuple[str, str]
"""An operation's method and path."""


@dataclass(frozen=True, slots=True)
class Group:
    """A group of operations in the document, and a sentence on what it is for."""

    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A part of the API: its routes, and what the document says of them.

    Attributes:
        routes: tables of routes; empty where an application of its own serves them.
        group: the group of its operations in the document; None if it has none.
        operations: the description of every operation.
        not_described: routes that the document leaves out, and why.
    """

    routes: tuple[web.RouteTableDef, ...] = ()
    group: Group | None = None
    operations: Mapping[Key, Operation] = field(default_factory=dict)
    not_described: Mapping[Key, str] = field(default_factory=dict)


def operations_of(resources: Iterable[Resource]) -> dict[Key, Operation]:
    """Return the operations of all resources."""
    return {key: each for resource in resources for key, each in resource.operations.items()}


RETRY: Final = {
    "Retry-After": Header("The seconds after which a client should try again.", Seconds)
}


def problem(text: str, *, retry: bool = False, shape: Any = Problem) -> Answer:
    """Return an answer that is an error; with `retry` it says when to try again."""
    return Answer(text, {PROBLEM: shape}, RETRY if retry else {})


def unavailable(text: str, shape: Any = Problem) -> dict[int, Answer]:
    """Return the answer of an operation that needs Kafka or the workers, if they are away."""
    return {503: problem(text, retry=True, shape=shape)}


def body_problems(limit: str, shape: Any = Problem) -> dict[int, Answer]:
    """Return the errors of an operation that reads a body; `limit` says how large it may be."""
    return {
        400: problem("The body is not JSON, or it ended early.", shape=shape),
        408: problem(
            f"The body came too slowly: no byte came for {IDLE_SECONDS:g} s, or it took more than "
            f"{WHOLE_SECONDS:g} s.",
            shape=shape,
        ),
        413: problem(
            f"{limit} Or it unpacks to more than {MAX_RATIO} times its size.", shape=shape
        ),
        415: Answer(
            f"The Content-Encoding is not one of {ACCEPTED}.",
            {PROBLEM: shape},
            {"Accept-Encoding": Header("The encodings that this server can read.")},
        ),
        429: problem("Too much has come at once.", retry=True, shape=shape),
    }


BAD_QUERY_TEXT: Final = "A query parameter is unknown, empty, or given twice."
BAD_QUERY: Final = {422: problem(BAD_QUERY_TEXT)}
"""The answer of every operation to a bad query; an operation may have other reasons for 422."""

FAILURE: Final = {
    421: problem("The Host header of the request is not a name of this server."),
    500: problem("An unexpected error has happened; the log of the API says more."),
}
"""Answers that any operation may give."""

FOREIGN: Final = {
    403: problem("The request comes from a page of another site, and would change something.")
}
"""Answers that any operation may give that changes something."""
