"""The documents that describe the API, as a resource of it."""

from __future__ import annotations

from typing import Final

from api.openapi import routes, schemas
from api.openapi.operation import Group, Resource

RESOURCE: Final = Resource(
    group=Group("documents", "Descriptions of this API, for people and for programs."),
    routes=(routes.routes,),
    operations=schemas.OPERATIONS,
    not_described={("GET", "/docs/{file}"): "files that only the page of the documents loads"},
)
