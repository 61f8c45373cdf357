"""`POST /trigger_report/{store_id}`, `POST /trigger_report` and `GET /get_report/{report_id}`."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4, uuid5

from aiohttp import web

from api.http.request_body import read_fields
from api.http.responses import accepted, json_response
from api.http.services import service_of
from api.reports.progress import progress_of
from api.reports.representations import optional_columns, report_answer
from api.reports.schemas import (
    MAX_BODY_BYTES,
    MAX_KEY_LENGTH,
    MAX_STORES_BYTES,
    FleetReportBody,
    ReportBody,
)
from api.reports.service import ReportService
from api.reports.trigger import ReportTrigger
from api.webhooks.service import url_in
from stream_app.contracts.fields import parse_uuid
from stream_app.contracts.report_requests import (
    FleetRequest,
    ReportRequest,
    reference_time_of,
    spec_of,
)
from stream_app.errors import RecordError

if TYPE_CHECKING:
    from stream_app.domain.report_spec import ReportSpec

POLL_AGAIN_SECONDS: Final = 1

_IDEMPOTENCY: Final = UUID("6f1e0f0e-8b7c-4a39-9d5a-0f6f2a1f6d11")
"""The namespace of report ids that are made from an Idempotency-Key, the same in all processes."""

routes = web.RouteTableDef()


@routes.post("/trigger_report/{store_id}")
async def trigger_report(request: web.Request) -> web.Response:
    """Request the report of a store."""
    store_id = parse_uuid(request.match_info["store_id"])
    fields = await read_fields(request, MAX_BODY_BYTES, ReportBody)
    reference_time, spec = _time_range(fields)
    webhook = url_in(fields)
    requested = ReportRequest(_new_report_id(request), store_id, reference_time, spec=spec)
    return await _trigger(request, requested, webhook)


@routes.post("/trigger_report")
async def trigger_fleet_report(request: web.Request) -> web.Response:
    """Request one report of all stores, or of the stores that the body names."""
    fields = await read_fields(request, MAX_STORES_BYTES, FleetReportBody)
    reference_time, spec = _time_range(fields)
    store_ids = fields.get("store_ids")
    webhook = url_in(fields)
    requested = FleetRequest(_new_report_id(request), store_ids, reference_time, spec=spec)
    return await _trigger(request, requested, webhook)


async def _trigger(
    request: web.Request, requested: ReportRequest | FleetRequest, webhook: str | None
) -> web.Response:
    await service_of(request, ReportTrigger).trigger(
        requested, webhook, repeatable="Idempotency-Key" in request.headers
    )
    return accepted(
        {"report_id": requested.report_id},
        {
            "Location": f"/get_report/{requested.report_id}",
            "Retry-After": str(POLL_AGAIN_SECONDS),
        },
    )


@routes.get("/get_report/{report_id}")
async def get_report(request: web.Request) -> web.StreamResponse:
    """Answer with a report, or with its progress."""
    optional = optional_columns(request)
    report_id = parse_uuid(request.match_info["report_id"], "report_id")
    state = await service_of(request, ReportService).require(report_id)
    match state.status:
        case "complete":
            return await report_answer(request, state, optional)
        case "failed":
            return json_response(progress_of(state), HTTPStatus.GONE)
        case _:
            return accepted(progress_of(state), {"Retry-After": str(POLL_AGAIN_SECONDS)})


def _time_range(fields: dict[str, Any]) -> tuple[int | None, ReportSpec]:
    reference_time, spec = reference_time_of(fields), spec_of(fields)
    if reference_time is not None:
        # raises an error if no report can have this time range
        spec.span(reference_time)
    return reference_time, spec


def _new_report_id(request: web.Request) -> str:
    keys = request.headers.getall("Idempotency-Key", [])
    if not keys:
        return str(uuid4())
    if len(keys) > 1:
        raise RecordError(f"Idempotency-Key is there {len(keys)} times: say it once")
    (key,) = keys
    if not 0 < len(key) <= MAX_KEY_LENGTH or not key.isprintable():
        raise RecordError(f"Idempotency-Key is not 1 to {MAX_KEY_LENGTH} printable characters")
    return str(uuid5(_IDEMPOTENCY, key))
