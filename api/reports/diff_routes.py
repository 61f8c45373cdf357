"""`GET /reports/{report_id}/diff`: what the same report would say today, and why."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import orjson
from aiohttp import web

from api.http.problems import ProblemError
from api.keys import BODIES, REPORTS
from api.reports.diff import changed_settings, differences
from api.reports.representations import gone
from api.reports.routes import check_room, report_named
from api.reports.rows import named_rows
from stream_app.contracts.report_results import names_in, objects_of
from stream_app.domain.report import CSV_HEADER
from stream_app.domain.timestamps import parse_instant
from stream_app.errors import OverloadedError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from api.reports.service import ReportService
    from api.reports.view import ReportState

MAX_CHANGES: Final = 1_000
"""Rows that one answer tells; of more it tells how many they are."""

_TURN_ROWS: Final = 500

routes = web.RouteTableDef()


@routes.get("/reports/{report_id}/diff")
async def report_diff(request: web.Request) -> web.Response:
    """What the same report would say today, and why: late polls, other hours, other settings."""
    service = request.app[REPORTS]
    before = await report_named(request)
    if before.status != "complete":
        raise ProblemError(
            HTTPStatus.CONFLICT,
            f"report {before.report_id} is {before.status}, only a complete one can be compared",
        )
    asked = service.request_of(before.report_id)
    if before.content is None:
        raise gone(before)
    if asked is None:
        raise ProblemError(
            HTTPStatus.CONFLICT, "what this report was asked for is not known any more"
        )
    check_room(request)
    after = await service.answer(
        replace(
            asked,
            report_id=str(uuid4()),
            reference_time=parse_instant(before.content["reference_time"]),
            requested_at=None,
        )
    )
    if after.content is None:
        raise gone(after)
    budget = request.app[BODIES].budget
    size = _size(service, before) + _size(service, after)
    if not budget.try_acquire(size):
        raise OverloadedError("too many large answers are being written: try again in a moment")
    try:
        changes, more = await _changes(service, before, after)
    finally:
        budget.release(size)
    settings = changed_settings(before.content, after.content)
    return web.Response(
        body=orjson.dumps(
            {
                "report_id": before.report_id,
                "reference_time": before.content["reference_time"],
                "same": not changes and not settings,
                "settings": settings,
                "changed": len(changes) + more,
                "changes": changes,
            }
        ),
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )


async def _changes(
    service: ReportService, before: ReportState, after: ReportState
) -> tuple[list[dict[str, Any]], int]:
    """The rows that changed, and how many more did."""
    columns = names_in(before.content or {}, "columns", CSV_HEADER)
    changes: list[dict[str, Any]] = []
    more = 0
    compared = differences(_rows(service, before), _rows(service, after), columns)
    for number, change in enumerate(compared):
        if number % _TURN_ROWS == 0:
            # a large report must not keep other requests waiting
            await asyncio.sleep(0)
        if change is None:
            continue
        if len(changes) < MAX_CHANGES:
            changes.append(change.content())
        else:
            more += 1
    return changes, more


def _rows(service: ReportService, state: ReportState) -> Iterable[dict[str, Any]]:
    content = state.content or {}
    if state.parts is not None:
        return named_rows(content, service.pieces(state.report_id).parts)
    return objects_of(content)


def _size(service: ReportService, state: ReportState) -> int:
    return 0 if state.parts is None else service.pieces(state.report_id).held
