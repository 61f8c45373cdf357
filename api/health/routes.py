"""`GET /healthz`, `GET /readyz` and `GET /metrics`."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from api.health.service import Readiness
from api.http.problems import RETRY_SECONDS, problem
from api.http.services import service_of
from api.metrics import ApiMetrics

routes = web.RouteTableDef()


@routes.get("/healthz")
async def healthz(_request: web.Request) -> web.Response:
    """Answer 200 as long as this process answers at all."""
    return web.json_response({"status": "ok"})


@routes.get("/readyz")
async def readyz(request: web.Request) -> web.Response:
    """Answer 200 if reports can be made, and 503 while the broker, a topic or a worker is lost."""
    trouble = await service_of(request, Readiness).unavailable_reason()
    if trouble is not None:
        return problem(HTTPStatus.SERVICE_UNAVAILABLE, trouble, retry_after=RETRY_SECONDS)
    return web.json_response({"status": "ready"})


@routes.get("/metrics")
async def metrics(request: web.Request) -> web.Response:
    """Answer with the metrics of this process, in Prometheus' text format."""
    body = service_of(request, ApiMetrics).exposition()
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})
