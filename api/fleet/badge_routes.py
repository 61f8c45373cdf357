"""`GET /badges/fleet.svg` and `GET /badges/{store_id}.svg`."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from api.fleet.badge import WINDOWS, fleet_badge, store_badge
from api.http.query_params import enum_param
from api.keys import FLEET
from api.stores.query_routes import store_as_answered
from stream_app.errors import ReportError

MAX_AGE_SECONDS: Final = 60
"""For which a picture may be shown again: so old its figures may be anyway."""

routes = web.RouteTableDef()


@routes.get("/badges/fleet.svg")
async def get_fleet_badge(request: web.Request) -> web.Response:
    """How many of the open stores are up, as a picture."""
    request.app[FLEET].require()
    return picture(fleet_badge(await request.app[FLEET].counts()))


@routes.get("/badges/{store_id}.svg")
async def get_store_badge(request: web.Request) -> web.Response:
    """The uptime of a store in a window, as a picture."""
    window = enum_param(request, "window", WINDOWS)
    try:
        store = await store_as_answered(request)
    except ReportError:
        # such as before any poll came in: a picture that says so, not one that is broken
        return picture(store_badge(None, window))
    return picture(store_badge(store, window))


def picture(svg: str) -> web.Response:
    """An SVG as an answer, which no browser takes for a page with scripts."""
    return web.Response(
        text=svg,
        content_type="image/svg+xml",
        charset="utf-8",
        headers={
            "Cache-Control": f"public, max-age={MAX_AGE_SECONDS}",
            "Content-Security-Policy": "default-src 'none'",
            "X-Content-Type-Options": "nosniff",
        },
    )
