"""`GET /stores/{store_id}/summary`, `/timeline` and `/incidents`: what a store's polls come to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import orjson
from aiohttp import web

from api.fleet.view import FIGURE_FIELDS, StoreState, last_poll, local_time, moment
from api.http.query_params import instant_param, int_param
from api.keys import FLEET, REPORTS, STORES
from api.reports.routes import check_room
from api.stores.local_clock import utc_offsets
from api.stores.routes import unknown_store
from api.stores.store_state import store_from
from stream_app.contracts.fields import parse_uuid, shown
from stream_app.contracts.report_requests import ReportRequest
from stream_app.contracts.store_details import MAX_INCIDENTS
from stream_app.domain.report_spec import ReportSpec
from stream_app.domain.timestamps import WEEK, parse_instant
from stream_app.errors import RecordError, ReportError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stream_app.contracts.report_requests import Detail

PAGE_INCIDENTS: Final = 100

_BASIS: Final = ("timezone", "stale_after", "lookback", "default_status")

routes = web.RouteTableDef()


@routes.get("/stores/{store_id}/summary")
async def summary(request: web.Request) -> web.Response:
    """A store as it is now, and its three windows."""
    names = (*_BASIS, "business_hours", "reference_time", "windows")
    content, store, now = await _as_answered(request, ("windows",), names)
    return _json(
        {
            "store_id": store.store_id,
            "state": store.state,
            "open_changes_at": moment(store.opening_changes_at),
            "last_poll": last_poll(store),
            "now": moment(now),
            "local_time": local_time(store.timezone, now),
            "utc_offsets": utc_offsets(store.timezone, store.polled, now, store.opening_changes_at),
            "unknown_timezone": content.get("unknown_timezone"),
            **_named(content, names),
        }
    )


@routes.get("/stores/{store_id}/timeline")
async def timeline(request: web.Request) -> web.Response:
    """The intervals of a span, and its days: open or not, active, inactive or unknown."""
    end, form = _span(request)
    names = ("start", "end", "coverage", *_BASIS, "intervals")
    content = await _ask(request, end, form, ("timeline", "days"), (*names, "local_days"))
    return _json(
        {
            "store_id": content["store_id"],
            **_named(content, names),
            "utc_offsets": _offsets_of_span(content),
            "days": content["local_days"],
        }
    )


@routes.get("/stores/{store_id}/incidents")
async def incidents(request: web.Request) -> web.Response:
    """The incidents of a span, the newest one first."""
    limit = int_param(request, "limit", PAGE_INCIDENTS, MAX_INCIDENTS)
    after = instant_param(request, "after")
    end, form = _span(request)
    names = ("start", "end", "timezone")
    content = await _ask(request, end, form, ("incidents",), (*names, "incidents"))
    found = [
        incident
        for incident in content["incidents"]
        if after is None or parse_instant(incident["start"]) < after
    ]
    page = found[:limit]
    following = None
    if len(found) > limit:
        query = {"from": content["start"], "to": content["end"], "limit": str(limit)}
        following = str(request.rel_url.with_query({**query, "after": page[-1]["start"]}))
    return _json(
        {
            "store_id": content["store_id"],
            **_named(content, names),
            "utc_offsets": _offsets_of_span(content),
            "incidents": page,
            "next": following,
        }
    )


async def store_as_answered(request: web.Request) -> StoreState:
    """The store of a request's path, up to all that was acknowledged before the request.

    Raises:
        ProblemError: it is unknown.
        ReportError: there is no answer, and why.
    """
    _, store, _ = await _as_answered(request, (), (*_BASIS, "business_hours", "reference_time"))
    return store


async def _as_answered(
    request: web.Request, details: tuple[Detail, ...], names: Iterable[str]
) -> tuple[dict[str, Any], StoreState, int]:
    """What the workers say of the store, the store as it follows from that, and the instant.

    The view of the fleet hears of a poll a moment after its 202, the answer of a worker covers it.
    """
    content = await _ask(
        request, None, ReportSpec(), (*details, "last_poll"), (*names, "last_poll", *FIGURE_FIELDS)
    )
    service = request.app[FLEET]
    now = parse_instant(content["reference_time"])
    if service.clock_name == "wall":
        now = max(now, service.now() or 0)
    return content, store_from(content, now), now


def _span(request: web.Request) -> tuple[int | None, ReportSpec]:
    start, end = instant_param(request, "from"), instant_param(request, "to")
    form = ReportSpec(duration=WEEK) if start is None else ReportSpec(start=start)
    if end is not None:
        try:
            form.span(end)
        except ReportError as error:
            raise RecordError(str(error)) from None
    return end, form


async def _ask(
    request: web.Request,
    reference: int | None,
    form: ReportSpec,
    details: tuple[Detail, ...],
    needed: Iterable[str],
) -> dict[str, Any]:
    """What the workers say of the store of a request's path, with the fields that are needed.

    Raises:
        ProblemError: it is unknown.
        ReportError: there is no answer, and why.
    """
    store_id = parse_uuid(request.match_info["store_id"])
    check_room(request)
    if not await request.app[STORES].store_exists(store_id):
        raise unknown_store(store_id)
    wanted = ReportRequest(str(uuid4()), store_id, reference, form=form, details=details)
    state = await request.app[REPORTS].answer(wanted)
    if state.content is None:
        raise ReportError(f"the answer about store {shown(store_id)} is gone: ask again")
    missing = [name for name in needed if name not in state.content]
    if missing:
        # a record that no worker of this version wrote stands in the place of the answer
        raise ReportError(f"the answer about store {store_id} has no {missing[0]}: ask again")
    return state.content


def _offsets_of_span(content: dict[str, Any]) -> list[dict[str, Any]]:
    bounds = parse_instant(content["start"]), parse_instant(content["end"])
    return utc_offsets(content["timezone"], *bounds)


def _named(content: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: content[name] for name in names}


def _json(content: object) -> web.Response:
    return web.Response(
        body=orjson.dumps(content),
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )
