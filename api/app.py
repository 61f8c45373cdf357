"""The composition root of the API."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from aiohttp import web

from api.fleet import badge_routes as badges
from api.fleet import routes as fleet
from api.health import routes as health
from api.http import static_files as pages
from api.http.connections import SERVER_OPTIONS
from api.http.described_parameters import described_parameters_only
from api.http.event_stream import EventStreams
from api.http.host_and_origin import own_hosts_only
from api.http.problems import problem_middleware
from api.http.response_headers import complete_headers
from api.http.services import provide
from api.ingest import routes as statuses
from api.metrics import counted
from api.openapi import routes as documents
from api.openapi.routes import Documents
from api.public.app import MOUNTED_AT, public_app
from api.reports import diff_routes as diff
from api.reports import event_routes as report_events
from api.reports import routes as reports
from api.stores import query_routes as store_views
from api.stores import routes as stores

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from api.gateway import Gateway

_ROUTES: Final = (
    badges,
    diff,
    documents,
    fleet,
    health,
    pages,
    report_events,
    reports,
    statuses,
    store_views,
    stores,
)
"""The modules of the endpoints."""


def create_app(gateway: Gateway) -> web.Application:
    """The HTTP application around a gateway, which starts and stops with it."""

    streams = EventStreams()

    async def run_gateway(_app: web.Application) -> AsyncIterator[None]:
        await gateway.start()
        yield
        await gateway.stop()

    async def watch_delays(_app: web.Application) -> AsyncIterator[None]:
        watching = asyncio.create_task(gateway.metrics.event_loop_delay.watch())
        yield
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

    async def begin_to_stop(_app: web.Application) -> None:
        gateway.bodies.begin_to_stop()
        streams.begin_to_stop()

    gateway.metrics.read_open_streams(streams.open_count)
    settings = gateway.settings
    app = web.Application(
        middlewares=[
            counted(gateway.metrics),
            own_hosts_only(settings.api_host, settings),
            problem_middleware,
            described_parameters_only(),
        ],
        handler_args=SERVER_OPTIONS,
    )
    services = {**gateway.services, EventStreams: streams}
    provide(app, {**services, Documents: Documents(app, settings)})
    app.cleanup_ctx.extend([run_gateway, watch_delays])
    app.on_shutdown.append(begin_to_stop)
    app.on_response_prepare.append(complete_headers)
    for module in _ROUTES:
        app.add_routes(module.routes)
    app.add_subapp(f"{MOUNTED_AT}/", public_app(gateway.public_status))
    return app
