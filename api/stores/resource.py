"""Stores as a resource of the API."""

from __future__ import annotations

from typing import Final

from api.openapi.operation import Group, Resource
from api.stores import query_routes, query_schemas, routes, schemas

RESOURCE: Final = Resource(
    group=Group(
        "stores",
        "Business hours and timezones of stores, and the timeline and incidents of one store.",
    ),
    routes=(routes.routes, query_routes.routes),
    operations={**schemas.OPERATIONS, **query_schemas.OPERATIONS},
)
