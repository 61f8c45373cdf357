"""Query parameters that an operation does not describe are refused, before anything is done.

A parameter that nobody reads would be ignored, and the answer would look right. So one rule
holds for every operation of `api.openapi.openapi`: a parameter that is unknown, said twice or
empty is 422. The pages for people and their files take any query, since their addresses hold the
filters of the page, and mail programs and chats add parameters of their own to links.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aiohttp import hdrs, web

from api.openapi.json_schema import Schemas
from stream_app.contracts.fields import listed, shown
from stream_app.errors import RecordError

if TYPE_CHECKING:
    from api.http.problems import Handler
    from api.openapi.operation import Key, Operation

QueryParameters = Mapping[str, bool]
"""The names of an operation's query parameters, and whether each may be said more than once."""


def _query_parameters(operation: Operation) -> QueryParameters:
    schemas = Schemas("")
    return {
        parameter.name: schemas.of(parameter.shape).get("type") == "array"
        for parameter in operation.parameters
        if parameter.where == "query"
    }


def described_parameters_only(operations: Mapping[Key, Operation], mounted_at: str = "") -> Any:
    """Make the middleware that refuses what the operation of a request does not describe.

    Args:
        operations: all that the application serves.
        mounted_at: the beginning of the application's paths in the description, for one that is
            served by itself too.
    """

    described = {key: _query_parameters(operation) for key, operation in operations.items()}

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.query_string:
            known = described.get(_key_of(request, mounted_at))
            if known is not None:
                reject_unknown_params(request, known)
        return await handler(request)

    return middleware


def reject_unknown_params(request: web.Request, known: QueryParameters) -> None:
    """Raise an error unless the query has known parameters alone, each with a value.

    Raises:
        RecordError: a parameter is unknown, is said twice, or is empty.
    """
    query = request.query
    unknown = sorted(set(query) - known.keys())
    if unknown:
        names = listed(known or ("none",))
        raise RecordError(f"unknown parameters: {shown(', '.join(unknown))}; known are {names}")
    for name, repeats in known.items():
        values = query.getall(name, [])
        if len(values) > 1 and not repeats:
            raise RecordError(f"{name} is there {len(values)} times: say it once")
        if not all(value.strip() for value in values):
            raise RecordError(f"{name} is empty: give it a value, or leave it out")


def _key_of(request: web.Request, mounted_at: str) -> Key:
    resource = request.match_info.route.resource
    # without a resource there is no such path, or no such method
    path = "" if resource is None else resource.canonical.removeprefix(mounted_at)
    # aiohttp answers HEAD wherever it answers GET
    method = hdrs.METH_GET if request.method == hdrs.METH_HEAD else request.method
    return method, mounted_at + path
