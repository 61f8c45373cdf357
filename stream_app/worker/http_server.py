"""The worker's own HTTP server: `/metrics`, `/healthz` and `/readyz`, and nothing else."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from stream_app.errors import PrerequisiteError
from stream_app.local.processes.files import write_whole
from stream_app.local.run_file import ADDRESS_FILE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from stream_app.settings import Settings
    from stream_app.worker.metrics import WorkerMetrics

    _Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = logging.getLogger(__name__)

RETRY_SECONDS: Final = 5
"""Seconds after which a client may ask again whether a worker is ready."""

_STOP_SECONDS: Final = 1.0


class WorkerServer:
    """Serves the metrics and the health of one worker by HTTP.

    Args:
        settings: the address to listen on.
        folder: the worker's folder, into which the address in use is written.
        metrics: the metrics of `/metrics`; they also say whether the worker is ready.
        update_metrics: called before each answer of `/metrics`; updates values that must be read.
        topics_trouble: returns one line about what is wrong with the topics, or None.
    """

    def __init__(
        self,
        settings: Settings,
        folder: Path,
        metrics: WorkerMetrics,
        update_metrics: Callable[[], Awaitable[None]],
        topics_trouble: Callable[[], str | None],
    ) -> None:
        self._host = settings.worker_host
        self._port = settings.worker_port
        self._file = folder / ADDRESS_FILE
        self._metrics = metrics
        self._update_metrics = update_metrics
        self._topics_trouble = topics_trouble
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Start to answer.

        Raises:
            PrerequisiteError: nobody can listen on that address, or the folder cannot be written.
        """
        app = web.Application(middlewares=[_no_parameters])
        app.router.add_get("/metrics", self._get_metrics)
        app.router.add_get("/healthz", self._get_health)
        app.router.add_get("/readyz", self._get_readiness)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_STOP_SECONDS)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError as error:
            raise PrerequisiteError(
                f"cannot listen on {self._host}:{self._port} ({error.strerror}): free the port, or "
                "name another in STORE_UPTIME_WORKER_PORT; several workers on one machine need 0, "
                "which takes any free one"
            ) from error
        host, port = self._runner.addresses[0][:2]
        address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        write_whole(self._file, address)
        log.info("metrics and health at %s", address)
        self._metrics.event_loop_delay.start()

    async def stop(self) -> None:
        """Stop answering."""
        await self._metrics.event_loop_delay.stop()
        self._file.unlink(missing_ok=True)
        if self._runner is not None:
            await self._runner.cleanup()

    async def _get_metrics(self, _request: web.Request) -> web.Response:
        await self._update_metrics()
        return web.Response(
            body=self._metrics.exposition(), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4}
        )

    async def _get_health(self, _request: web.Request) -> web.Response:
        """Answer 200 as long as the event loop of this worker runs."""
        return web.json_response({"status": "ok"})

    async def _get_readiness(self, _request: web.Request) -> web.Response:
        """Answer 200 when the topics are right and this worker owns all its assigned partitions."""
        reason = self._topics_trouble() or self._metrics.not_ready()
        if reason is None:
            return web.json_response({"status": "ready"})
        response = _problem(HTTPStatus.SERVICE_UNAVAILABLE, reason)
        response.headers["Retry-After"] = str(RETRY_SECONDS)
        return response


@web.middleware
async def _no_parameters(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Refuse a request with parameters, which nothing here reads."""
    if request.query_string:
        return _problem(HTTPStatus.UNPROCESSABLE_ENTITY, "no parameters are known here")
    return await handler(request)


def _problem(status: HTTPStatus, detail: str) -> web.Response:
    content = {"type": "about:blank", "title": status.phrase, "status": status, "detail": detail}
    return web.json_response(content, status=status, content_type="application/problem+json")
