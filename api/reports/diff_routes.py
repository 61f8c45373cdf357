"""`GET /reports/{report_id}/diff`: what the same report would say today, and why."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from aiohttp import web

from api.http.request_body import RequestBodies
from api.http.responses import json_response
from api.http.services import service_of
from api.reports.diff import changed_settings, differences
from api.reports.diff_schemas import MAX_CHANGES
from api.reports.representations import gone
from api.reports.rows import named_rows
from api.reports.service import ReportService
from stream_app.contracts.fields import parse_uuid
from stream_app.errors import OverloadedError, ReportConflictError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from api.reports.diff import Change
    from api.reports.view import ReportState
    from stream_app.contracts.report_results import ReportDocument

_TURN_ROWS: Final = 500

routes = web.RouteTableDef()


@routes.get("/reports/{report_id}/diff")
async def report_diff(request: web.Request) -> web.Response:
    """The same report made today, and why it differs: late polls, other hours, other settings."""
    service = service_of(request, ReportService)
    before = await service.require(parse_uuid(request.match_info["report_id"], "report_id"))
    if before.status != "complete":
        raise ReportConflictError(
            f"report {before.report_id} is {before.status}, only a complete one can be compared"
        )
    original = service.request_of(before.report_id)
    old = before.document
    if old is None:
        raise gone(before)
    if original is None:
        raise ReportConflictError("what this report was asked for is not known any more")
    service.require_capacity()
    after = await service.answer(
        replace(
            original,
            report_id=str(uuid4()),
            reference_time=old.reference_time,
            requested_at=None,
        )
    )
    new = after.document
    if new is None:
        raise gone(after)
    budget = service_of(request, RequestBodies).budget
    size = _size(service, before) + _size(service, after)
    if not budget.try_acquire(size):
        raise OverloadedError("too many large answers are being written: try again in a moment")
    try:
        rows = _rows(service, before, old), _rows(service, after, new)
        changes, more = await _changes(differences(*rows, old.columns))
    finally:
        budget.release(size)
    settings = changed_settings(old.provenance, new.provenance)
    return json_response(
        {
            "report_id": before.report_id,
            "reference_time": old.fields["reference_time"],
            "same": not changes and not settings,
            "settings": settings,
            "changed": len(changes) + more,
            "changes": changes,
        }
    )


async def _changes(compared: Iterable[Change | None]) -> tuple[list[dict[str, Any]], int]:
    """The rows that changed, and the number of further ones."""
    changes: list[dict[str, Any]] = []
    more = 0
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


def _rows(
    service: ReportService, state: ReportState, document: ReportDocument
) -> Iterable[dict[str, Any]]:
    if state.parts is not None:
        return named_rows(document, service.stored_rows(state.report_id).parts)
    return document.rows()


def _size(service: ReportService, state: ReportState) -> int:
    return 0 if state.parts is None else service.stored_rows(state.report_id).held
