"""`POST /trigger_report/{store_id}`, `POST /trigger_report` and `GET /get_report/{report_id}`."""

from __future__ import annotations

from http import HTTPStatus
from itertools import chain
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4, uuid5

import orjson
from aiohttp import web

from api.fleet_report import csv_chunks, json_chunks, rows_in_order
from api.keys import BODIES, REPORTS, STORES
from api.problems import ProblemError, problem
from api.request_body import BodyTooLargeError, RequestBody, json_in
from api.stores import unknown_store
from stream_app.contracts.records import parse_uuid
from stream_app.contracts.reports import (
    MAX_STORES_NAMED,
    FleetRequest,
    ReportRequest,
    report_csv,
    stores_named,
    subject_of,
)
from stream_app.domain.instants import parse_instant
from stream_app.errors import OverloadedError, RecordError

if TYPE_CHECKING:
    from api.report_log import ReportState
    from api.report_service import ReportService

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

routes = web.RouteTableDef()


@routes.post("/trigger_report/{store_id}")
async def trigger_report(request: web.Request) -> web.Response:
    """Ask for the report of a store."""
    store_id = parse_uuid(request.match_info["store_id"])
    content = await _content(request, MAX_BODY_BYTES, "reference_time")
    reference_time = _reference_time(content)
    _check_room(request)
    if not await request.app[STORES].store_exists(store_id):
        raise unknown_store(store_id)
    return await _trigger(request, ReportRequest(_new_report_id(request), store_id, reference_time))


@routes.post("/trigger_report")
async def trigger_fleet_report(request: web.Request) -> web.Response:
    """Ask for one report of all stores, or of those that the body names."""
    content = await _content(request, MAX_STORES_BYTES, "reference_time", "store_ids")
    reference_time = _reference_time(content)
    store_ids = stores_named(content["store_ids"]) if "store_ids" in content else None
    _check_room(request)
    unknown = await request.app[STORES].unknown(store_ids or ())
    if unknown:
        shown = ", ".join(unknown[:_SHOWN_STORES]) + (
            ", ..." if len(unknown) > _SHOWN_STORES else ""
        )
        raise ProblemError(
            HTTPStatus.NOT_FOUND,
            f"{len(unknown)} of the stores are unknown, no poll, hours or zone names them: {shown}",
        )
    wanted = FleetRequest(_new_report_id(request), store_ids, reference_time)
    return await _trigger(request, wanted)


def _check_room(request: web.Request) -> None:
    if request.app[REPORTS].open_reports() >= MAX_OPEN_REPORTS:
        raise ProblemError(
            HTTPStatus.SERVICE_UNAVAILABLE,
            f"{MAX_OPEN_REPORTS} reports are waiting already",
            retry_after=POLL_AGAIN_SECONDS,
        )


async def _trigger(request: web.Request, wanted: ReportRequest | FleetRequest) -> web.Response:
    service = request.app[REPORTS]
    if "Idempotency-Key" not in request.headers or not await _asked_before(service, wanted):
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
    report_id = parse_uuid(request.match_info["report_id"], "report_id")
    state = await request.app[REPORTS].report(report_id)
    if state is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, f"report {report_id} is unknown or expired")
    match state.status:
        case "complete":
            json = _wants_json(request.headers.getall("Accept", []))
            if state.parts is not None:
                return await _complete_fleet(request, state, json=json)
            return _complete(state, json=json)
        case "failed":
            return _status(HTTPStatus.GONE, {"status": "failed", "reason": state.reason})
        case _:
            return _status(
                HTTPStatus.ACCEPTED,
                {"status": "running", **_progress(state)},
                {"Retry-After": str(POLL_AGAIN_SECONDS)},
            )


def _progress(state: ReportState) -> dict[str, Any]:
    if state.parts is None:
        return {}
    done, parts = state.parts
    return {"parts_done": done, "parts": parts}


async def _complete_fleet(
    request: web.Request, state: ReportState, *, json: bool
) -> web.StreamResponse:
    parts = request.app[REPORTS].pieces(state.report_id)
    if not parts or state.content is None:
        return _gone(state)
    budget = request.app[BODIES].budget
    size = sum(map(len, chain.from_iterable(parts)))
    if not budget.try_take(size):
        raise OverloadedError("too many large answers are being written: try again in a moment")
    try:
        response = web.StreamResponse(headers={"X-Report-Status": "Complete", "Vary": "Accept"})
        rows = rows_in_order(parts)
        if json:
            response.content_type = "application/json"
            head = {"report_id": state.report_id, "status": "complete", **state.content}
            chunks = json_chunks(head, rows)
        else:
            response.content_type = "text/csv"
            response.charset = "utf-8"
            response.headers["Content-Disposition"] = (
                f'inline; filename="report-{state.report_id}.csv"'
            )
            chunks = csv_chunks(rows)
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
        await response.write_eof()
    finally:
        budget.give_back(size)
    return response


def _gone(state: ReportState) -> web.Response:
    return problem(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        f"report {state.report_id} is complete but its content is gone; trigger a new one",
    )


def _complete(state: ReportState, *, json: bool) -> web.Response:
    if state.content is None:
        return _gone(state)
    headers = {"X-Report-Status": "Complete", "Vary": "Accept"}
    if json:
        body = {"report_id": state.report_id, "status": "complete", **state.content}
        return _status(HTTPStatus.OK, body, headers)
    return web.Response(
        text=report_csv([state.content]),
        content_type="text/csv",
        charset="utf-8",
        headers={
            **headers,
            "Content-Disposition": f'inline; filename="report-{state.report_id}.csv"',
        },
    )


def _status(
    status: HTTPStatus, body: dict[str, Any], headers: dict[str, str] | None = None
) -> web.Response:
    return web.Response(
        status=status,
        body=orjson.dumps(body),
        content_type="application/json",
        headers=headers,
    )


def _wants_json(accept: list[str]) -> bool:
    """Whether JSON is preferred to CSV: by weight, then by which is named more exactly."""
    csv, json = (_preference(",".join(accept), media) for media in ("text/csv", "application/json"))
    return json > csv


def _preference(accept: str, offered: str) -> tuple[float, int]:
    """The weight that Accept gives a media type, and how exactly it names it (RFC 9110, 12.5.1)."""
    ranges = ("*/*", offered.partition("/")[0] + "/*", offered)
    weight, exactness = 0.0, -1
    for part in accept.split(","):
        media, *parameters = (piece.strip().lower() for piece in part.split(";"))
        if media in ranges and ranges.index(media) > exactness:
            weight, exactness = _weight(parameters), ranges.index(media)
    # weight 0 forbids: as if it were not named
    return (weight, exactness) if weight > 0 else (0.0, -1)


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return float(parameter[2:])
            except ValueError:
                return 0.0
    return 1.0


async def _content(request: web.Request, limit: int, *fields: str) -> dict[str, Any]:
    """The JSON object in the body, with no other fields than these; empty without a body."""
    async with RequestBody(request, request.app[BODIES]) as reading:
        try:
            body = await reading.read(limit)
        except BodyTooLargeError as error:
            raise ProblemError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, str(error)) from None
    if not body.strip():
        return {}
    content = json_in(body, "a JSON object")
    if not isinstance(content, dict):
        raise RecordError("the body is not a JSON object")
    unknown = sorted(set(content) - set(fields))
    if unknown:
        raise RecordError(f"the body has unknown fields: {', '.join(unknown)[:100]}")
    return content


def _reference_time(content: dict[str, Any]) -> int | None:
    text = content.get("reference_time")
    if text is None:
        return None
    try:
        return parse_instant(text)
    except RecordError as error:
        raise RecordError(f"reference_time: {error}") from None


def _new_report_id(request: web.Request) -> str:
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return str(uuid4())
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
