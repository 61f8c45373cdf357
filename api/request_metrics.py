"""Counts the requests of an application."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

if TYPE_CHECKING:
    from api.http.problems import Handler
    from api.metrics import ApiMetrics

_EVENT_STREAM: Final = "text/event-stream"


def counted(metrics: ApiMetrics) -> Any:
    """Make the middleware that counts every request; it must stand before all others."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        begun = time.perf_counter()
        try:
            response = await handler(request)
        except web.HTTPException as error:
            _count(metrics, request, error.status, time.perf_counter() - begun)
            raise
        stream = response.content_type == _EVENT_STREAM
        seconds = None if stream else time.perf_counter() - begun
        _count(metrics, request, response.status, seconds)
        return response

    return middleware


def _count(metrics: ApiMetrics, request: web.Request, status: int, seconds: float | None) -> None:
    resource = request.match_info.route.resource
    route = None if resource is None else resource.canonical
    metrics.count_request(request.method, route, status, seconds)
