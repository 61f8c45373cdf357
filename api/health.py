"""`GET /healthz` and `GET /readyz`."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web

from api.keys import GATEWAY
from api.problems import RETRY_SECONDS, problem

routes = web.RouteTableDef()


@routes.get("/healthz")
async def healthz(_request: web.Request) -> web.Response:
    """200 as long as this process answers."""
    return web.json_response({"status": "ok"})


@routes.get("/readyz")
async def readyz(request: web.Request) -> web.Response:
    """200 when reports can be answered; 503 without a broker, or while workers recover."""
    trouble = await request.app[GATEWAY].trouble()
    if trouble is not None:
        return problem(HTTPStatus.SERVICE_UNAVAILABLE, trouble, retry_after=RETRY_SECONDS)
    return web.json_response({"status": "ready"})
