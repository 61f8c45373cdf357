"""The application that serves the status page, its content and its badges, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from aiohttp import web

from api.fleet.badge import WINDOWS, fleet_badge, store_badge
from api.http.host_and_origin import own_hosts_only
from api.http.problems import problem_middleware
from api.http.query_params import enum_param
from api.http.response_headers import complete_headers
from api.http.responses import json_response, svg_response
from api.http.services import provide, service_of
from api.http.static_files import asset_response, load, named_asset_response
from api.openapi.described_parameters import described_parameters_only
from api.public.schemas import OPERATIONS
from api.public.status import PublicStatus
from stream_app.contracts.fields import parse_uuid

if TYPE_CHECKING:
    from stream_app.settings import Settings

MOUNTED_AT: Final = "/public"
"""The path at which the API serves this application beside its own."""

ASSETS: Final = load(Path(__file__).with_name("web"))

routes = web.RouteTableDef()


def public_app(status: PublicStatus) -> web.Application:
    """Make the application that the API's application serves as a part of its own."""
    app = web.Application(
        middlewares=[problem_middleware, described_parameters_only(OPERATIONS, MOUNTED_AT)]
    )
    provide(app, {PublicStatus: status})
    app.add_routes(routes)
    return app


def public_site(status: PublicStatus, settings: Settings) -> web.Application:
    """Make the application for a separate server, which has its own address."""
    app = public_app(status)
    app.middlewares.insert(0, own_hosts_only(settings.public_host, settings))
    app.on_response_prepare.append(complete_headers)
    return app


@routes.get("/")
async def page(request: web.Request) -> web.Response:
    """Answer with the page."""
    service_of(request, PublicStatus).require()
    return asset_response(request, ASSETS["public.html"])


@routes.get("/assets/{name}")
async def asset(request: web.Request) -> web.Response:
    """Answer with a script, style or picture of the page."""
    return named_asset_response(request, ASSETS)


@routes.get("/status.json")
async def status(request: web.Request) -> web.Response:
    """Answer with the content of the public status page."""
    return json_response(await service_of(request, PublicStatus).content())


@routes.get("/badges/fleet.svg")
async def public_fleet_badge(request: web.Request) -> web.Response:
    """Answer with a picture of the number of chosen open stores that are up."""
    return svg_response(fleet_badge(await service_of(request, PublicStatus).counts()))


@routes.get("/badges/{store_id}.svg")
async def public_store_badge(request: web.Request) -> web.Response:
    """Answer with the uptime of a chosen store, as a picture."""
    window = enum_param(request, "window", WINDOWS)
    store_id = parse_uuid(request.match_info["store_id"])
    store = await service_of(request, PublicStatus).store(store_id)
    return svg_response(store_badge(store, window))
