"""`GET /`, `GET /store/{store_id}` and `GET /assets/{name}`: the web page, from `api/web`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from aiohttp import web

from api.http.static_files import asset_response, load, named_asset_response

FOLDER: Final = Path(__file__).parents[1] / "web"

ASSETS: Final = load(FOLDER)
"""All files of the page by name: what is not among them is not served."""

routes = web.RouteTableDef()


@routes.get("/")
async def fleet_page(request: web.Request) -> web.Response:
    """Answer with the overview of all stores."""
    return asset_response(request, ASSETS["index.html"])


@routes.get("/store/{store_id}")
async def store_page(request: web.Request) -> web.Response:
    """Answer with the page of any store: its script asks for the store itself."""
    return asset_response(request, ASSETS["store.html"])


@routes.get("/assets/{name}")
async def asset(request: web.Request) -> web.Response:
    """Answer with a script, style or picture of a page."""
    return named_asset_response(request, ASSETS)
