"""The status page as a resource of the API; `app.py` makes its application."""

from __future__ import annotations

from typing import Final

from api.fleet.resource import GROUP
from api.openapi.operation import Resource
from api.public import schemas

RESOURCE: Final = Resource(
    group=GROUP,
    operations=schemas.OPERATIONS,
    not_described={
        ("GET", "/public/"): "a page for people",
        ("GET", "/public/assets/{name}"): "files that only that page loads",
    },
)
