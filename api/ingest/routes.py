"""`POST /stores/{store_id}/status` and `POST /status`: polls of stores."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from api.http.request_body import RequestBodies, RequestBody, json_in
from api.http.responses import accepted
from api.http.services import service_of
from api.ingest.batch import PollBatchPublisher
from api.ingest.batch_answer import batch_answer, counts_in_problems
from api.ingest.rejected_body import path_of, rejectable_body
from api.ingest.schemas import MAX_POLL_BYTES
from api.ingest.service import IngestService
from api.ingest.status_body import read_items
from stream_app.contracts.api_paths import STATUS, STORE_STATUS
from stream_app.contracts.fields import parse_uuid, status_name
from stream_app.contracts.polls import parse_poll_body
from stream_app.domain.timestamps import format_instant

_EXPECTED: Final = 'an object such as {"status": "active", "timestamp_utc": "2024-01-01T00:00:00Z"}'

routes = web.RouteTableDef()


@routes.post(STORE_STATUS)
async def post_status(request: web.Request) -> web.Response:
    """Send one poll of a store; a poll without a time is dated now."""
    ingestion = service_of(request, IngestService)
    async with rejectable_body(request, MAX_POLL_BYTES, polls=1) as body:
        store_id = parse_uuid(request.match_info["store_id"])
        poll = parse_poll_body(json_in(body, _EXPECTED), ingestion.clock())
        await ingestion.send_poll(store_id, poll)
    instant, active = poll
    return accepted(
        {
            "store_id": store_id,
            "status": status_name(active),
            "timestamp_utc": format_instant(instant),
        }
    )


@routes.post(STATUS)
async def post_statuses(request: web.Request) -> web.Response:
    """Send polls of many stores; each item is accepted or rejected by itself."""
    async with RequestBody(request, service_of(request, RequestBodies)) as body:
        items = await read_items(request, body)
        batch = PollBatchPublisher(
            service_of(request, IngestService), path_of(request), body.try_reserve
        )
        with counts_in_problems(batch):
            await batch.publish(items.slices, items.array)
            return batch_answer(batch)
