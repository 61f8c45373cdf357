"""The OpenAPI and AsyncAPI documents of an application, as JSON."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import orjson

from api.openapi.asyncapi import asyncapi
from api.openapi.openapi import openapi

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp import web

    from api.openapi.operation import Resource
    from stream_app.settings import Settings


class Documents:
    """The documents of an application, made when the first request asks for them."""

    def __init__(
        self, app: web.Application, resources: Sequence[Resource], settings: Settings
    ) -> None:
        self._app = app
        self._resources = resources
        self._settings = settings

    @cached_property
    def openapi(self) -> bytes:
        """Return the OpenAPI document."""
        return orjson.dumps(openapi(self._app, self._resources))

    @cached_property
    def asyncapi(self) -> bytes:
        """Return the AsyncAPI document."""
        return orjson.dumps(asyncapi(self._settings))
