"""`GET /openapi.json`."""

from __future__ import annotations

from functools import cached_property
from typing import Final

import orjson
from aiohttp import web

from api.description.openapi import openapi

routes = web.RouteTableDef()


class Documents:
    """What describes an application, made when it is first asked for."""

    def __init__(self, app: web.Application) -> None:
        self._app = app

    @cached_property
    def openapi(self) -> bytes:
        """The OpenAPI document."""
        return orjson.dumps(openapi(self._app))


DOCUMENTS: Final = web.AppKey("documents", Documents)


@routes.get("/openapi.json")
async def get_openapi(request: web.Request) -> web.Response:
    """This API as an OpenAPI document."""
    return web.Response(body=request.app[DOCUMENTS].openapi, content_type="application/json")
