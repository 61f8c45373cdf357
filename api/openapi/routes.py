"""`GET /openapi.json`, `GET /asyncapi.json`, and `GET /docs`: Swagger UI on the first."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from aiohttp import web

from api.http.services import service_of
from api.http.static_files import CONTENT_TYPES, HEADERS, file_of_page
from api.openapi.documents import Documents

_DESCRIPTION: Final = Path(__file__).parent

_FILES: Final = {
    file.name: file
    for file in (
        _DESCRIPTION / "swagger/swagger-ui.css",
        _DESCRIPTION / "swagger/swagger-ui-bundle.js",
        _DESCRIPTION / "page/docs.css",
        _DESCRIPTION / "page/docs.js",
    )
}
"""The files that the page loads, by name."""

_HEADERS: Final = {
    **HEADERS,
    # the page loads nothing from other hosts, and no other page may show it in a frame
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}

routes = web.RouteTableDef()


@routes.get("/openapi.json")
async def get_openapi(request: web.Request) -> web.Response:
    """Answer with the OpenAPI document of this API."""
    return web.Response(
        body=service_of(request, Documents).openapi, content_type="application/json"
    )


@routes.get("/asyncapi.json")
async def get_asyncapi(request: web.Request) -> web.Response:
    """Answer with the topics and their records as an AsyncAPI document."""
    return web.Response(
        body=service_of(request, Documents).asyncapi, content_type="application/json"
    )


@routes.get("/docs")
async def get_docs(_request: web.Request) -> web.FileResponse:
    """Return a page for people to read this API and to try it."""
    return _sent(_DESCRIPTION / "page/docs.html")


@routes.get("/docs/{file}")
async def get_docs_file(request: web.Request) -> web.FileResponse:
    """Return a file of that page."""
    return _sent(file_of_page(_FILES, request.match_info["file"]))


def _sent(file: Path) -> web.FileResponse:
    return web.FileResponse(
        file, headers={**_HEADERS, "Content-Type": f"{CONTENT_TYPES[file.suffix]}; charset=utf-8"}
    )
