"""Polls as a resource of the API."""

from __future__ import annotations

from typing import Final

from api.ingest import routes, schemas
from api.openapi.operation import Group, Resource

RESOURCE: Final = Resource(
    group=Group("polls", "Send polls of stores."),
    routes=(routes.routes,),
    operations=schemas.OPERATIONS,
)
