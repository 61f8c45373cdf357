"""The web page as a resource of the API."""

from __future__ import annotations

from typing import Final

from api.openapi.operation import Resource
from api.pages import routes

RESOURCE: Final = Resource(
    routes=(routes.routes,),
    not_described={
        ("GET", "/"): "a page for people",
        ("GET", "/store/{store_id}"): "a page for people",
        ("GET", "/assets/{name}"): "files that only those pages load",
    },
)
