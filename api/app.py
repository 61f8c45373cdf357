"""The composition root of the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import web

from api import health, reports
from api.keys import GATEWAY
from api.problems import problem_middleware

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from api.gateway import Gateway

MAX_BODY_BYTES: Final = 65_536


def create_app(gateway: Gateway) -> web.Application:
    """The HTTP application around a gateway, which starts and stops with it."""

    async def run_gateway(_app: web.Application) -> AsyncIterator[None]:
        await gateway.start()
        yield
        await gateway.stop()

    app = web.Application(middlewares=[problem_middleware], client_max_size=MAX_BODY_BYTES)
    app[GATEWAY] = gateway
    app.cleanup_ctx.append(run_gateway)
    app.add_routes(health.routes)
    app.add_routes(reports.routes)
    return app
