"""`GET /stores/{store_id}/summary`, `/timeline` and `/incidents`: queries about one store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from api.fleet.rendering import instant_text, last_poll, local_time
from api.http.query_params import instant_param, int_param
from api.http.responses import json_response
from api.http.services import service_of
from api.stores.local_clock import utc_offsets
from api.stores.queries import INCIDENT_FIELDS, SUMMARY_FIELDS, TIMELINE_FIELDS, StoreQueries
from api.stores.query_schemas import PAGE_INCIDENTS
from stream_app.contracts.fields import parse_uuid
from stream_app.contracts.report_results import MAX_INCIDENTS
from stream_app.domain.report_spec import ReportSpec
from stream_app.domain.timestamps import WEEK, parse_instant

if TYPE_CHECKING:
    from collections.abc import Iterable

    from api.stores.queries import IncidentPage

routes = web.RouteTableDef()


@routes.get("/stores/{store_id}/summary")
async def summary(request: web.Request) -> web.Response:
    """Answer with a store as it is now, and its three windows."""
    store_id = parse_uuid(request.match_info["store_id"])
    content, store, now = await service_of(request, StoreQueries).current(
        store_id, ("windows",), SUMMARY_FIELDS
    )
    return json_response(
        {
            "store_id": store.store_id,
            "state": store.state,
            "open_changes_at": instant_text(store.opening_changes_at),
            "last_poll": last_poll(store),
            "now": instant_text(now),
            "local_time": local_time(store.timezone, now),
            "utc_offsets": utc_offsets(
                store.timezone, store.polled_at, now, store.opening_changes_at
            ),
            "unknown_timezone": content.get("unknown_timezone"),
            **_named(content, SUMMARY_FIELDS),
        }
    )


@routes.get("/stores/{store_id}/timeline")
async def timeline(request: web.Request) -> web.Response:
    """Answer with the timeline and the local days of a store in a time range."""
    end, spec = _time_range(request)
    store_id = parse_uuid(request.match_info["store_id"])
    content = await service_of(request, StoreQueries).timeline(store_id, end, spec)
    return json_response(
        {
            "store_id": content["store_id"],
            **_named(content, TIMELINE_FIELDS),
            "utc_offsets": _offsets_of_span(content),
            "days": content["local_days"],
        }
    )


@routes.get("/stores/{store_id}/incidents")
async def incidents(request: web.Request) -> web.Response:
    """Answer with the incidents of a store in a time range, the newest one first."""
    limit = int_param(request, "limit", PAGE_INCIDENTS, MAX_INCIDENTS)
    after = instant_param(request, "after")
    end, spec = _time_range(request)
    store_id = parse_uuid(request.match_info["store_id"])
    page = await service_of(request, StoreQueries).incidents(
        store_id, end, spec, before=after, limit=limit
    )
    content = page.content
    return json_response(
        {
            "store_id": content["store_id"],
            **_named(content, INCIDENT_FIELDS),
            "utc_offsets": _offsets_of_span(content),
            "incidents": page.incidents,
            "next": _next_page(request, page, limit),
        }
    )


def _next_page(request: web.Request, page: IncidentPage, limit: int) -> str | None:
    if not page.has_more:
        return None
    query = {"from": page.content["start"], "to": page.content["end"], "limit": str(limit)}
    return str(request.rel_url.with_query({**query, "after": page.incidents[-1]["start"]}))


def _time_range(request: web.Request) -> tuple[int | None, ReportSpec]:
    start, end = instant_param(request, "from"), instant_param(request, "to")
    spec = ReportSpec(duration=WEEK) if start is None else ReportSpec(start=start)
    if end is not None:
        # raises an error if no report can have this time range
        spec.span(end)
    return end, spec


def _offsets_of_span(content: dict[str, Any]) -> list[dict[str, Any]]:
    bounds = parse_instant(content["start"]), parse_instant(content["end"])
    return utc_offsets(content["timezone"], *bounds)


def _named(content: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: content[name] for name in names}
