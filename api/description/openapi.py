"""The OpenAPI document, from the routes of an application and what describes them."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final

from api.description import documents, health, reports, statuses, stores
from api.description.operation import FAILURE
from api.description.schemas import Schemas
from stream_app import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aiohttp import web

    from api.description.operation import Answer, Operation

OPERATIONS: Final[Mapping[tuple[str, str], Operation]] = {
    key: operation
    for module in (reports, statuses, stores, health, documents)
    for key, operation in module.OPERATIONS.items()
}
"""Of every route, by method and path."""

TITLE: Final = "Store uptime"


class DescriptionError(Exception):
    """Routes and descriptions do not belong together."""


def openapi(app: web.Application) -> dict[str, Any]:
    """The document.

    Raises:
        DescriptionError: a route has no description, or a description no route.
    """
    handlers = dict(_routes(app))
    if handlers.keys() != OPERATIONS.keys():
        raise DescriptionError(
            f"not described: {sorted(handlers.keys() - OPERATIONS.keys())}; "
            f"no route: {sorted(OPERATIONS.keys() - handlers.keys())}"
        )
    schemas = Schemas("#/components/schemas/")
    paths: dict[str, Any] = {}
    for (method, path), operation in OPERATIONS.items():
        handler = handlers[method, path]
        paths.setdefault(path, {})[method.lower()] = {
            "operationId": handler.__name__,
            "summary": (inspect.getdoc(handler) or "").partition("\n")[0].rstrip("."),
            **_operation(operation, schemas),
        }
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": __version__, "license": {"name": "MIT"}},
        "paths": paths,
        "components": {"schemas": schemas.definitions},
    }


def _routes(app: web.Application) -> Iterator[tuple[tuple[str, str], Any]]:
    for route in app.router.routes():
        # aiohttp answers HEAD wherever it answers GET
        if route.method != "HEAD" and route.resource is not None:
            yield (route.method, route.resource.canonical), route.handler


def _operation(operation: Operation, schemas: Schemas) -> dict[str, Any]:
    told: dict[str, Any] = {}
    if operation.text:
        told["description"] = operation.text
    if operation.parameters:
        told["parameters"] = [
            {
                "name": parameter.name,
                "in": parameter.where,
                "description": parameter.text,
                "required": parameter.where == "path",
                "schema": schemas.of(parameter.form),
            }
            for parameter in operation.parameters
        ]
    if operation.body is not None:
        told["requestBody"] = {
            "description": operation.body.text,
            "required": operation.body.required,
            "content": _content(operation.body.content, schemas),
        }
    answers = {**FAILURE, **operation.answers}
    told["responses"] = {
        str(status): _answer(answers[status], schemas) for status in sorted(answers)
    }
    return told


def _answer(answer: Answer, schemas: Schemas) -> dict[str, Any]:
    told: dict[str, Any] = {
        "description": answer.text,
        "content": _content(answer.content, schemas),
    }
    if answer.headers:
        told["headers"] = {
            name: {
                "description": header.text,
                "required": True,
                "schema": schemas.of(header.form),
            }
            for name, header in answer.headers.items()
        }
    return told


def _content(content: Mapping[str, Any], schemas: Schemas) -> dict[str, Any]:
    return {media: {"schema": schemas.of(form)} for media, form in content.items()}
