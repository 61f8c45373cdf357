"""The OpenAPI document, from the routes of an application and what describes them."""

from __future__ import annotations

import inspect
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from api.http.host_and_origin import SAFE_METHODS
from api.openapi.json_schema import Schemas
from api.openapi.operation import BAD_QUERY, BAD_QUERY_TEXT, FAILURE, FOREIGN, operations_of
from stream_app.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from aiohttp import web

    from api.openapi.operation import Answer, Operation, Parameter, Resource

TITLE: Final = "Store uptime"

_TEXT: Final = """\
How long each store's systems were up during its own business hours.

A report covers everything that was acknowledged before the report was requested. An answer 202 says
that Kafka has the input. Any request may be sent again: nothing counts twice. Times are ISO 8601; a
time with no offset is in UTC. Ids and words may be in upper or lower case, with spaces around them;
ids may also be without dashes. A query parameter that is unknown or empty, or that is given twice
and may be given once, is refused. Errors are problems as in RFC 9457; if it helps to try again, the
error says when.
"""


class DescriptionError(Exception):
    """The routes of the application are not those that are described."""


def openapi(app: web.Application, resources: Sequence[Resource]) -> dict[str, Any]:
    """Return the document.

    Args:
        app: the application that serves the resources.
        resources: all of them, in the order of the document.

    Raises:
        DescriptionError: a route has no description, or a description no route.
    """
    handlers = dict(_routes(app))
    known = {*operations_of(resources), *(key for each in resources for key in each.not_described)}
    if handlers.keys() != known:
        raise DescriptionError(
            f"not described: {sorted(handlers.keys() - known)}; "
            f"no route: {sorted(known - handlers.keys())}"
        )
    schemas = Schemas("#/components/schemas/")
    paths: dict[str, Any] = {}
    groups: dict[str, str] = {}
    for resource in resources:
        if resource.group is None:
            continue
        groups[resource.group.name] = resource.group.text
        for (method, path), operation in resource.operations.items():
            handler = handlers[method, path]
            paths.setdefault(path, {})[method.lower()] = {
                "operationId": handler.__name__,
                "tags": [resource.group.name],
                "summary": (inspect.getdoc(handler) or "").partition("\n")[0].rstrip("."),
                **_operation(operation, schemas, changes=method not in SAFE_METHODS),
            }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": TITLE,
            "version": __version__,
            "description": _TEXT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "tags": [{"name": name, "description": text} for name, text in groups.items()],
        "paths": paths,
        "components": {"schemas": schemas.definitions},
    }


def _routes(app: web.Application) -> Iterator[tuple[tuple[str, str], Any]]:
    for route in app.router.routes():
        # aiohttp answers HEAD wherever it answers GET
        if route.method != "HEAD" and route.resource is not None:
            yield (route.method, route.resource.canonical), route.handler


def _operation(operation: Operation, schemas: Schemas, *, changes: bool) -> dict[str, Any]:
    described: dict[str, Any] = {}
    if operation.text:
        described["description"] = operation.text
    if operation.parameters:
        described["parameters"] = [_parameter(each, schemas) for each in operation.parameters]
    if operation.body is not None:
        described["requestBody"] = {
            "description": operation.body.text,
            "required": operation.body.required,
            "content": _content(operation.body.content, schemas),
        }
    answers = {**FAILURE, **(FOREIGN if changes else {}), **BAD_QUERY, **operation.answers}
    unprocessable = operation.answers.get(HTTPStatus.UNPROCESSABLE_ENTITY)
    if unprocessable is not None:
        answers[HTTPStatus.UNPROCESSABLE_ENTITY.value] = replace(
            unprocessable, text=f"{unprocessable.text} {BAD_QUERY_TEXT}"
        )
    described["responses"] = {
        str(status): _answer(answers[status], schemas) for status in sorted(answers)
    }
    return described


def _parameter(parameter: Parameter, schemas: Schemas) -> dict[str, Any]:
    schema = schemas.of(parameter.shape)
    described: dict[str, Any] = {
        "name": parameter.name,
        "in": parameter.where,
        "description": parameter.text,
        "required": parameter.where == "path",
        "schema": schema,
    }
    if schema.get("type") == "array":
        # several values are one text, with commas between them
        described["explode"] = False
    if "examples" in schema:
        # the page of the documents fills in this example
        described["example"] = schema["examples"][0]
    return described


def _answer(answer: Answer, schemas: Schemas) -> dict[str, Any]:
    described: dict[str, Any] = {
        "description": answer.text,
        "content": _content(answer.content, schemas),
    }
    if answer.headers:
        described["headers"] = {
            name: {
                "description": header.text,
                "required": header.always,
                "schema": schemas.of(header.shape),
            }
            for name, header in answer.headers.items()
        }
    return described


def _content(content: Mapping[str, Any], schemas: Schemas) -> dict[str, Any]:
    return {media: {"schema": schemas.of(shape)} for media, shape in content.items()}
