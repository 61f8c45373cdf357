"""Reports as a resource of the API."""

from __future__ import annotations

from typing import Final

from api.openapi.operation import Group, Resource
from api.reports import diff_routes, diff_schemas, event_routes, event_schemas, routes, schemas

RESOURCE: Final = Resource(
    group=Group(
        "reports",
        "Request the uptime and downtime of any time range; follow, fetch and compare reports.",
    ),
    routes=(routes.routes, event_routes.routes, diff_routes.routes),
    operations={
        **schemas.OPERATIONS,
        **event_schemas.OPERATIONS,
        **diff_schemas.OPERATIONS,
    },
)
