"""The fleet as a resource of the API."""

from __future__ import annotations

from typing import Final

from api.fleet import badge_routes, badge_schemas, routes, schemas
from api.openapi.operation import Group, Resource

GROUP: Final = Group(
    "fleet", "All stores as they are now: their states, events, badges and the public status page."
)

RESOURCE: Final = Resource(
    group=GROUP,
    routes=(routes.routes, badge_routes.routes),
    operations={**schemas.OPERATIONS, **badge_schemas.OPERATIONS},
)
