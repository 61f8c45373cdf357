"""`GET /fleet` and `GET /fleet/events`: all stores as they are now."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from api.fleet.pages import SORTS, FleetQuery
from api.fleet.rendering import instant_text, last_poll, local_time
from api.fleet.schemas import MAX_PAGE, MAX_PAGE_STORES, PAGE_STORES
from api.fleet.service import FleetService
from api.fleet.state import STATES
from api.http.event_stream import EventStreams
from api.http.query_params import enum_param, enum_params, int_param
from api.http.responses import json_response
from api.http.services import service_of
from stream_app.contracts.fields import parse_uuid, shown
from stream_app.errors import RecordError

if TYPE_CHECKING:
    from api.fleet.service import FleetChanges
    from api.fleet.state import StoreState

_PART: Final = re.compile(r"[0-9a-fA-F-]{1,36}")

routes = web.RouteTableDef()


@routes.get("/fleet")
async def get_fleet(request: web.Request) -> web.Response:
    """Answer with a page of the stores as they are now, and how many there are in each state."""
    query, number = _query(request)
    page = await service_of(request, FleetService).page(query)
    fleet = page.snapshot
    return json_response(
        {
            "now": instant_text(fleet.now),
            "clock": page.clock,
            "counts": fleet.counts,
            "matching": page.matching,
            "page": number,
            "pages": page.pages,
            "zones": page.timezones,
            "figures_at": instant_text(fleet.figures_at),
            "freshness": fleet.freshness,
            "stores": [_row(store, fleet.now) for store in fleet.stores],
        }
    )


@routes.get("/fleet/events", allow_head=False)
async def fleet_events(request: web.Request) -> web.StreamResponse:
    """Answer with the changes in the fleet, or of one store, as server-sent events."""
    text = request.query.get("store_id")
    store_id = None if text is None else parse_uuid(text)
    service = service_of(request, FleetService)
    watching = service.watch(store_id)
    async with service_of(request, EventStreams).open(request) as stream, watching as watcher:
        number = 0
        while True:
            changes = await service.changes(watcher)
            await stream.send("fleet", _event(changes), number)
            number += 1
            if not await stream.wait(watcher.changed):
                break
    return stream.response


def _event(changes: FleetChanges) -> dict[str, Any]:
    fleet = changes.snapshot
    return {
        "now": instant_text(fleet.now),
        "counts": fleet.counts,
        "changed": [
            {"store_id": store.store_id, "state": store.state, "last_poll": last_poll(store)}
            for store in fleet.stores
        ],
        "removed": changes.removed,
        "more": changes.more_changed,
        "figures_at": instant_text(fleet.figures_at),
        "freshness": fleet.freshness,
    }


def _row(store: StoreState, now: int | None) -> dict[str, Any]:
    return {
        "store_id": store.store_id,
        "state": store.state,
        "timezone": store.timezone,
        "local_time": local_time(store.timezone, now),
        "last_poll": last_poll(store),
        "open_changes_at": instant_text(store.opening_changes_at),
        "figures": store.figures,
    }


def _query(request: web.Request) -> tuple[FleetQuery, int]:
    part = request.query.get("q")
    if part is not None and not _PART.fullmatch(part.strip()):
        raise RecordError(f"q is not a part of a store id: {shown(part)}")
    timezone = request.query["zone"].strip() if "zone" in request.query else None
    limit = int_param(request, "limit", PAGE_STORES, MAX_PAGE_STORES)
    page = int_param(request, "page", 1, MAX_PAGE)
    query = FleetQuery(
        states=enum_params(request, "state", STATES),
        timezone=timezone,
        part="" if part is None else part.strip().lower(),
        sort=enum_param(request, "sort", SORTS),
        limit=limit,
        offset=(page - 1) * limit,
    )
    return query, page
