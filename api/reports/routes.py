"""`POST /trigger_report/{store_id}`, `POST /trigger_report` and `GET /get_report/{report_id}`."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4, uuid5

import orjson
from aiohttp import web

from api.http.problems import ProblemError
from api.http.request_body import BodyTooLargeError, RequestBody, json_in
from api.keys import BODIES, REPORTS, STORES, WEBHOOKS
from api.reports.representations import further_columns, report_answer
from api.stores.routes import unknown_store
from stream_app.contracts.fields import known_fields_only, parse_uuid
from stream_app.contracts.json_text import BYTE_ORDER_MARK
from stream_app.contracts.report_requests import (
    FORM_FIELDS,
    MAX_STORES_NAMED,
    FleetRequest,
    ReportRequest,
    form_in,
    reference_in,
    stores_named,
    subject_of,
)
from stream_app.errors import RecordError, ReportError

if TYPE_CHECKING:
    from api.reports.service import ReportService
    from api.reports.view import ReportState
    from stream_app.domain.report_spec import ReportSpec

MAX_OPEN_REPORTS: Final = 10_000
"""Pending and running reports beyond which no further one is taken."""

POLL_AGAIN_SECONDS: Final = 1

MAX_BODY_BYTES: Final = 65_536
"""Of a request that names no stores but the one in its path."""

MAX_STORES_BYTES: Final = 64 * MAX_STORES_NAMED
"""Of a request that names as many as it may."""

_SHOWN_STORES: Final = 5

_IDEMPOTENCY: Final = UUID("6f1e0f0e-8b7c-4a39-9d5a-0f6f2a1f6d11")
"""Name space of report ids made from an Idempotency-Key: any API process makes the same."""

MAX_KEY_LENGTH: Final = 255

_FIELDS: Final = ("reference_time", "end", *FORM_FIELDS, "webhook")

routes = web.RouteTableDef()


@routes.post("/trigger_report/{store_id}")
async def trigger_report(request: web.Request) -> web.Response:
    """Ask for the report of a store."""
    store_id = parse_uuid(request.match_info["store_id"])
    content = await _content(request, MAX_BODY_BYTES, *_FIELDS)
    reference_time, form = _time_asked_for(content)
    webhook = request.app[WEBHOOKS].parse_url(content)
    check_room(request)
    if not await request.app[STORES].store_exists(store_id):
        raise unknown_store(store_id)
    wanted = ReportRequest(_new_report_id(request), store_id, reference_time, form=form)
    return await _trigger(request, wanted, webhook)


@routes.post("/trigger_report")
async def trigger_fleet_report(request: web.Request) -> web.Response:
    """Ask for one report of all stores, or of those that the body names."""
    content = await _content(request, MAX_STORES_BYTES, "store_ids", *_FIELDS)
    reference_time, form = _time_asked_for(content)
    store_ids = stores_named(content["store_ids"]) if "store_ids" in content else None
    webhook = request.app[WEBHOOKS].parse_url(content)
    check_room(request)
    unknown = await request.app[STORES].unknown(store_ids or ())
    if unknown:
        shown = ", ".join(unknown[:_SHOWN_STORES]) + (
            ", ..." if len(unknown) > _SHOWN_STORES else ""
        )
        raise ProblemError(
            HTTPStatus.NOT_FOUND,
            f"{len(unknown)} of the stores are unknown, no poll, hours or zone names them: {shown}",
        )
    wanted = FleetRequest(_new_report_id(request), store_ids, reference_time, form=form)
    return await _trigger(request, wanted, webhook)


def check_room(request: web.Request) -> None:
    """Pass only where few enough reports wait already.

    Raises:
        ProblemError: there are too many.
    """
    if request.app[REPORTS].open_reports() >= MAX_OPEN_REPORTS:
        raise ProblemError(
            HTTPStatus.SERVICE_UNAVAILABLE,
            f"{MAX_OPEN_REPORTS} reports are waiting already",
            retry_after=POLL_AGAIN_SECONDS,
        )


async def _trigger(
    request: web.Request, wanted: ReportRequest | FleetRequest, webhook: str | None
) -> web.Response:
    service = request.app[REPORTS]
    asked = "Idempotency-Key" in request.headers and await _asked_before(service, wanted)
    if webhook is not None:
        # before the report, so that 202 means that both are kept; again for a repeated request,
        # whose first one may not have come so far
        await request.app[WEBHOOKS].register(wanted.report_id, webhook)
    if not asked:
        await service.request_report(wanted)
    return web.Response(
        status=HTTPStatus.ACCEPTED,
        body=orjson.dumps({"report_id": wanted.report_id}),
        content_type="application/json",
        headers={
            "Location": f"/get_report/{wanted.report_id}",
            "Retry-After": str(POLL_AGAIN_SECONDS),
        },
    )


@routes.get("/get_report/{report_id}")
async def get_report(request: web.Request) -> web.StreamResponse:
    """The report, or how far it is."""
    further = further_columns(request)
    state = await report_named(request)
    match state.status:
        case "complete":
            return await report_answer(request, state, further)
        case "failed":
            return _status(HTTPStatus.GONE, progress_of(state))
        case _:
            return _status(
                HTTPStatus.ACCEPTED, progress_of(state), {"Retry-After": str(POLL_AGAIN_SECONDS)}
            )


async def report_named(request: web.Request) -> ReportState:
    """The report of a request's path.

    Raises:
        ProblemError: it is not known.
    """
    report_id = parse_uuid(request.match_info["report_id"], "report_id")
    state = await request.app[REPORTS].report(report_id)
    if state is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, f"report {report_id} is unknown or expired")
    return state


def progress_of(state: ReportState) -> dict[str, Any]:
    """How far a report is: running, with the parts that are done, complete, or failed and why."""
    if state.status == "failed":
        return {"status": "failed", "reason": state.reason}
    progress: dict[str, Any] = {"status": "complete" if state.status == "complete" else "running"}
    if state.parts is not None:
        progress["parts_done"], progress["parts"] = state.parts
    return progress


def _status(
    status: HTTPStatus, body: dict[str, Any], headers: dict[str, str] | None = None
) -> web.Response:
    return web.Response(
        status=status,
        body=orjson.dumps(body),
        content_type="application/json",
        headers=headers,
    )


async def _content(request: web.Request, limit: int, *fields: str) -> dict[str, Any]:
    """The JSON object in the body, with no other fields than these; empty without a body."""
    async with RequestBody(request, request.app[BODIES]) as reading:
        try:
            body = await reading.read(limit)
        except BodyTooLargeError as error:
            raise ProblemError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, str(error)) from None
    if not body.removeprefix(BYTE_ORDER_MARK).strip():
        return {}
    content = json_in(body, "a JSON object")
    if not isinstance(content, dict):
        raise RecordError("the body is not a JSON object")
    known_fields_only(content, *fields)
    return content


def _time_asked_for(content: dict[str, Any]) -> tuple[int | None, ReportSpec]:
    reference_time, form = reference_in(content), form_in(content)
    if reference_time is not None:
        try:
            form.span(reference_time)
        except ReportError as error:
            raise RecordError(str(error)) from None
    return reference_time, form


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


async def _asked_before(service: ReportService, wanted: ReportRequest | FleetRequest) -> bool:
    state = await service.report(wanted.report_id)
    if state is None:
        return False
    if state.subject is None:
        # its result is known and its request is not, or no longer: nothing to compare with
        return True
    if (state.subject, state.reference_time) != (subject_of(wanted), wanted.reference_time):
        raise RecordError("this Idempotency-Key was used for another request")
    return True
