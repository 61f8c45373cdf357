"""`GET /reports/{report_id}/events`: how far a report is, as server-sent events."""

from __future__ import annotations

from aiohttp import web

from api.keys import EVENT_STREAMS, REPORTS
from api.reports.routes import progress_of, report_named
from stream_app.contracts.report_results import FINAL

routes = web.RouteTableDef()


@routes.get("/reports/{report_id}/events", allow_head=False)
async def report_events(request: web.Request) -> web.StreamResponse:
    """Every step of a report; the stream ends with complete or failed."""
    service = request.app[REPORTS]
    state = await report_named(request)
    async with request.app[EVENT_STREAMS].open(request) as stream:
        with service.changes.subscribe(state.report_id) as changed:
            told = None
            while True:
                progress = {"report_id": state.report_id, **progress_of(state)}
                if progress != told:
                    await stream.send("report", progress)
                    told = progress
                if state.status in FINAL or not await stream.wait(changed):
                    break
                state = await report_named(request)
    return stream.response
