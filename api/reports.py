"""`POST /trigger_report/{store_id}` and `GET /get_report/{report_id}`."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4, uuid5

import orjson
from aiohttp import web

from api.keys import REPORTS, STORES
from api.problems import ProblemError, problem
from api.stores import unknown_store
from stream_app.contracts.records import parse_uuid
from stream_app.contracts.reports import ReportRequest, report_csv
from stream_app.domain.instants import parse_instant
from stream_app.errors import RecordError

if TYPE_CHECKING:
    from api.report_log import ReportState
    from api.report_service import ReportService

MAX_OPEN_REPORTS: Final = 10_000
"""Pending and running reports beyond which no further one is taken."""

POLL_AGAIN_SECONDS: Final = 1

_IDEMPOTENCY: Final = UUID("6f1e0f0e-8b7c-4a39-9d5a-0f6f2a1f6d11")
"""Name space of report ids made from an Idempotency-Key: any API process makes the same."""

_MAX_KEY_LENGTH: Final = 255

routes = web.RouteTableDef()


@routes.post("/trigger_report/{store_id}")
async def trigger_report(request: web.Request) -> web.Response:
    """Ask for the report of a store."""
    service = request.app[REPORTS]
    store_id = parse_uuid(request.match_info["store_id"])
    reference_time = await _reference_time(request)
    if service.open_reports() >= MAX_OPEN_REPORTS:
        raise ProblemError(
            HTTPStatus.SERVICE_UNAVAILABLE,
            f"{MAX_OPEN_REPORTS} reports are waiting already",
            retry_after=POLL_AGAIN_SECONDS,
        )
    if not await request.app[STORES].store_exists(store_id):
        raise unknown_store(store_id)
    wanted = ReportRequest(_new_report_id(request), store_id, reference_time)
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
async def get_report(request: web.Request) -> web.Response:
    """The report, or how far it is."""
    report_id = parse_uuid(request.match_info["report_id"], "report_id")
    state = await request.app[REPORTS].report(report_id)
    if state is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, f"report {report_id} is unknown or expired")
    match state.status:
        case "complete":
            return _complete(state, json=_wants_json(request.headers.getall("Accept", [])))
        case "failed":
            return _status(HTTPStatus.GONE, {"status": "failed", "reason": state.reason})
        case _:
            return _status(
                HTTPStatus.ACCEPTED,
                {"status": "running"},
                {"Retry-After": str(POLL_AGAIN_SECONDS)},
            )


def _complete(state: ReportState, *, json: bool) -> web.Response:
    if state.content is None:
        return problem(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            f"report {state.report_id} is complete but its content is gone; trigger a new one",
        )
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


async def _reference_time(request: web.Request) -> int | None:
    body = await request.read()
    if not body.strip():
        return None
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ProblemError(HTTPStatus.BAD_REQUEST, f"the body is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise RecordError("the body is not a JSON object")
    unknown = sorted(set(content) - {"reference_time"})
    if unknown:
        raise RecordError(f"the body has unknown fields: {', '.join(unknown)[:100]}")
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
    if not 0 < len(key) <= _MAX_KEY_LENGTH or not key.isprintable():
        raise RecordError(f"Idempotency-Key is not 1 to {_MAX_KEY_LENGTH} printable characters")
    return str(uuid5(_IDEMPOTENCY, key))


async def _asked_before(service: ReportService, wanted: ReportRequest) -> bool:
    state = await service.report(wanted.report_id)
    if state is None:
        return False
    if state.store_id is None:
        # its result is known and its request is not, or no longer: nothing to compare with
        return True
    if (state.store_id, state.reference_time) != (wanted.store_id, wanted.reference_time):
        raise RecordError("this Idempotency-Key was used for another request")
    return True
