"""`GET /reports/{report_id}/events`: how far a report is, as server-sent events."""

from __future__ import annotations

from aiohttp import web

from api.http.event_stream import EventStreams
from api.http.services import service_of
from api.reports.progress import progress_of
from api.reports.service import ReportService
from stream_app.contracts.fields import parse_uuid
from stream_app.contracts.report_results import FINAL

routes = web.RouteTableDef()


@routes.get("/reports/{report_id}/events", allow_head=False)
async def report_events(request: web.Request) -> web.StreamResponse:
    """Answer with every step of a report; the stream ends with complete or failed."""
    service = service_of(request, ReportService)
    report_id = parse_uuid(request.match_info["report_id"], "report_id")
    await service.require(report_id)
    async with service_of(request, EventStreams).open(request) as stream:
        with service.changes.subscribe(report_id) as changed:
            sent = None
            while True:
                state = await service.require(report_id)
                progress = {"report_id": report_id, **progress_of(state)}
                if progress != sent:
                    await stream.send("report", progress)
                    sent = progress
                if state.status in FINAL or not await stream.wait(changed):
                    break
    return stream.response
