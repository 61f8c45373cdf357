"""`GET /badges/fleet.svg` and `GET /badges/{store_id}.svg`."""

from __future__ import annotations

from aiohttp import web

from api.fleet.badge import WINDOWS, fleet_badge, store_badge
from api.fleet.service import FleetService
from api.http.query_params import enum_param
from api.http.responses import svg_response
from api.http.services import service_of
from api.stores.queries import StoreQueries
from stream_app.contracts.fields import parse_uuid

routes = web.RouteTableDef()


@routes.get("/badges/fleet.svg")
async def get_fleet_badge(request: web.Request) -> web.Response:
    """Answer with a picture of the number of open stores that are up."""
    return svg_response(fleet_badge(await service_of(request, FleetService).counts()))


@routes.get("/badges/{store_id}.svg")
async def get_store_badge(request: web.Request) -> web.Response:
    """Answer with the uptime of a store in a window, as a picture."""
    window = enum_param(request, "window", WINDOWS)
    store_id = parse_uuid(request.match_info["store_id"])
    store = await service_of(request, StoreQueries).state_if_known(store_id)
    return svg_response(store_badge(store, window))
