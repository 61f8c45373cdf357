"""The command `store-uptime api`: runs one API process."""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import TYPE_CHECKING, Any

import click
from aiohttp import web

from api.app import create_app
from api.gateway import Gateway
from api.http.connections import Connections, connection_limit, raise_descriptor_limit
from api.kafka.publisher import ANSWER_SECONDS
from api.public.app import public_site
from stream_app.cli.logs import log_to_stderr
from stream_app.cli.options import StrictCommand, data_dir_option, keep_private, read_settings
from stream_app.clock import wall_clock
from stream_app.errors import PrerequisiteError
from stream_app.kafka.bootstrap import resolve_bootstrap
from stream_app.local.processes.gc_tuning import reduce_gc

if TYPE_CHECKING:
    from pathlib import Path

    from stream_app.settings import Settings

log = logging.getLogger(__name__)


@click.command(cls=StrictCommand)
@data_dir_option
@click.option("--api-host", help="Address to listen on (STORE_UPTIME_API_HOST).")
@click.option(
    "--api-port", type=click.IntRange(0, 65535), help="Port to listen on (STORE_UPTIME_API_PORT)."
)
def api(data_dir: Path | None, api_host: str | None, api_port: int | None) -> None:
    """Run one API process against a broker."""
    log_to_stderr()
    keep_private()
    settings = read_settings(data_dir=data_dir, api_host=api_host, api_port=api_port)
    asyncio.run(_serve(resolve_bootstrap(settings)))


async def _listen(
    connections: Connections, runner: web.AppRunner, host: str, port: int, name: str
) -> list[Any]:
    try:
        return await connections.listen(runner, host, port)
    except OSError as error:
        raise PrerequisiteError(
            f"cannot listen on {host}:{port} ({error.strerror}): free the port, or name another "
            f"with {name}"
        ) from error


async def _serve(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    reduce_gc()
    gateway = Gateway(settings, wall_clock)
    connections = Connections(connection_limit(raise_descriptor_limit()))
    # requests in flight are answered within ANSWER_SECONDS; slower ones are cut off
    runner = web.AppRunner(
        create_app(gateway), access_log=None, shutdown_timeout=ANSWER_SECONDS + 2
    )
    await runner.setup()
    try:
        addresses = await _listen(
            connections, runner, settings.api_host, settings.api_port, "--api-port"
        )
        for address in addresses:
            log.info("listening on http://%s:%s", *address[:2])
        if settings.public_port:
            public = web.AppRunner(public_site(gateway.public_status, settings), access_log=None)
            await public.setup()
            try:
                host, port = settings.public_host, settings.public_port
                await _listen(connections, public, host, port, "STORE_UPTIME_PUBLIC_PORT")
                log.info("the status page is at http://%s:%s", host, port)
                await stop.wait()
            finally:
                connections.stop_listening()
                await public.cleanup()
        await stop.wait()
        log.info("stopping")
    finally:
        connections.stop_listening()
        await runner.cleanup()
