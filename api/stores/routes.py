"""`PUT /stores/{store_id}/business_hours` and `/timezone`, `GET`, `DELETE` of one, `GET /stores`.

A store exists once any input names it, so a PUT makes a store that does not exist.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web

from api.http.query_params import int_param
from api.http.request_body import json_in
from api.http.responses import accepted, json_response
from api.http.services import service_of
from api.ingest.rejected_body import rejectable_body
from api.ingest.service import IngestService
from api.stores.rendering import hours_fields, page_content, timezone_fields
from api.stores.schemas import MAX_HOURS_BYTES, MAX_PAGE_STORES, MAX_TIMEZONE_BYTES, PAGE_STORES
from api.stores.service import StoreService
from stream_app.contracts.api_paths import STORE_HOURS, STORE_TIMEZONE
from stream_app.contracts.business_hours import parse_hours_body
from stream_app.contracts.fields import parse_uuid, parse_uuid_prefix
from stream_app.contracts.stores import parse_timezone_body
from stream_app.settings import Settings

_EXPECTED_HOURS: Final = 'an object such as {"hours": [[0, "09:00", "17:00"]]}'
_EXPECTED_TIMEZONE: Final = 'an object such as {"timezone_str": "America/Chicago"}'

routes = web.RouteTableDef()


@routes.put(STORE_HOURS)
async def put_business_hours(request: web.Request) -> web.Response:
    """Replace all business hours of a store; without a row the store is open 24/7."""
    async with rejectable_body(request, MAX_HOURS_BYTES) as body:
        store_id = parse_uuid(request.match_info["store_id"])
        hours = parse_hours_body(json_in(body, _EXPECTED_HOURS))
    await service_of(request, IngestService).replace_hours(store_id, hours)
    return accepted({"store_id": store_id, **hours_fields(hours)})


@routes.put(STORE_TIMEZONE)
async def put_timezone(request: web.Request) -> web.Response:
    """Replace the timezone of a store; if it is unknown, the default one applies."""
    async with rejectable_body(request, MAX_TIMEZONE_BYTES) as body:
        store_id = parse_uuid(request.match_info["store_id"])
        timezone = parse_timezone_body(json_in(body, _EXPECTED_TIMEZONE))
    await service_of(request, IngestService).replace_timezone(store_id, timezone)
    default = service_of(request, Settings).default_timezone
    return accepted({"store_id": store_id, **timezone_fields(timezone, default)})


@routes.delete("/stores/{store_id}")
async def delete_store(request: web.Request) -> web.Response:
    """Remove all facts of a store; the answer comes when no view shows the store any more."""
    store_id = parse_uuid(request.match_info["store_id"])
    await service_of(request, StoreService).remove(store_id)
    return accepted({"store_id": store_id, "removed": True})


@routes.get("/stores/{store_id}")
async def get_store(request: web.Request) -> web.Response:
    """Answer with the facts of a store besides its polls."""
    store_id = parse_uuid(request.match_info["store_id"])
    entry = await service_of(request, StoreService).get(store_id)
    default = service_of(request, Settings).default_timezone
    return json_response(
        {
            "store_id": store_id,
            "business_hours": entry.hours or None,
            **timezone_fields(entry.timezone, default),
        }
    )


@routes.get("/stores")
async def get_stores(request: web.Request) -> web.Response:
    """Answer with the ids of all stores, a page at a time."""
    query = request.query
    prefix = parse_uuid_prefix(query["prefix"], "prefix") if "prefix" in query else ""
    after = parse_uuid(query["after"], "after") if "after" in query else ""
    limit = int_param(request, "limit", PAGE_STORES, MAX_PAGE_STORES)
    page = await service_of(request, StoreService).page(prefix, after, limit)
    return json_response(page_content(page, prefix, limit))
