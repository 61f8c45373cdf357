"""The composition root of the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import web

from api.fleet import resource as fleet
from api.health import resource as health
from api.http.connections import SERVER_OPTIONS
from api.http.event_stream import EventStreams
from api.http.host_and_origin import own_hosts_only
from api.http.problems import problem_middleware
from api.http.response_headers import complete_headers
from api.http.services import provide
from api.ingest import resource as ingest
from api.openapi import resource as documents
from api.openapi.described_parameters import described_parameters_only
from api.openapi.documents import Documents
from api.openapi.operation import operations_of
from api.pages import resource as pages
from api.public import resource as public
from api.public.app import MOUNTED_AT, public_app
from api.reports import resource as reports
from api.request_metrics import counted
from api.stores import resource as stores

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from api.gateway import Gateway

RESOURCES: Final = (
    fleet.RESOURCE,
    public.RESOURCE,
    reports.RESOURCE,
    ingest.RESOURCE,
    stores.RESOURCE,
    health.RESOURCE,
    documents.RESOURCE,
    pages.RESOURCE,
)
"""All parts of the API, in the order of its document."""

OPERATIONS: Final = operations_of(RESOURCES)


def create_app(gateway: Gateway) -> web.Application:
    """Return the HTTP application around a gateway, which starts and stops with it."""

    streams = EventStreams()

    async def run_gateway(_app: web.Application) -> AsyncIterator[None]:
        await gateway.start()
        yield
        await gateway.stop()

    async def watch_delays(_app: web.Application) -> AsyncIterator[None]:
        gateway.metrics.event_loop_delay.start()
        yield
        await gateway.metrics.event_loop_delay.stop()

    async def end_long_requests(_app: web.Application) -> None:
        gateway.bodies.stop_reading()
        streams.end_all()

    gateway.metrics.read_open_streams(streams.open_count)
    settings = gateway.settings
    app = web.Application(
        middlewares=[
            counted(gateway.metrics),
            own_hosts_only(settings.api_host, settings),
            problem_middleware,
            described_parameters_only(OPERATIONS),
        ],
        handler_args=SERVER_OPTIONS,
    )
    services = {**gateway.services, EventStreams: streams}
    provide(app, {**services, Documents: Documents(app, RESOURCES, settings)})
    app.cleanup_ctx.extend([run_gateway, watch_delays])
    app.on_shutdown.append(end_long_requests)
    app.on_response_prepare.append(complete_headers)
    for resource in RESOURCES:
        for table in resource.routes:
            app.add_routes(table)
    app.add_subapp(f"{MOUNTED_AT}/", public_app(gateway.public_status))
    return app
