"""`GET /reports/{report_id}/diff`: the same report made today, and why it differs."""

from __future__ import annotations

from aiohttp import web

from api.http.responses import json_response
from api.http.services import service_of
from api.reports.comparison import ReportComparison
from stream_app.contracts.fields import parse_uuid

routes = web.RouteTableDef()


@routes.get("/reports/{report_id}/diff")
async def report_diff(request: web.Request) -> web.Response:
    """Make a report again, and answer with the differences and their causes."""
    report_id = parse_uuid(request.match_info["report_id"], "report_id")
    return json_response(await service_of(request, ReportComparison).compare(report_id))
