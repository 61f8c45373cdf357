"""Health and metrics as a resource of the API."""

from __future__ import annotations

from typing import Final

from api.health import routes, schemas
from api.openapi.operation import Group, Resource

RESOURCE: Final = Resource(
    group=Group("health", "Calls for load balancers and for Prometheus."),
    routes=(routes.routes,),
    operations=schemas.OPERATIONS,
)
