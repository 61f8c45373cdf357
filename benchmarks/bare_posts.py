"""Runs the server with which the product's live posts are compared: aiohttp alone."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from benchmarks.deployment import clean_environment
from benchmarks.errors import BenchmarkError
from benchmarks.inputs import ROOT
from stream_app.local.processes.child import ChildProcess
from stream_app.local.processes.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

HOST: Final = "127.0.0.1"
_START_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.05


@asynccontextmanager
async def bare_server(logs: Path) -> AsyncIterator[tuple[str, int]]:
    """Run a server that acknowledges posts and does nothing else; yield its host and port.

    Raises:
        BenchmarkError: it does not listen.
    """
    (port,) = free_ports(1)
    server = ChildProcess(
        "bare-aiohttp",
        [sys.executable, "-P", "-m", "benchmarks.peers.bare_aiohttp", "--port", str(port)],
        log_dir=logs,
        environment=clean_environment() | {"PYTHONPATH": str(ROOT)},
    )
    await server.start()
    try:
        await _wait_until_listening(server, port)
        yield HOST, port
    finally:
        await server.stop()


async def _wait_until_listening(server: ChildProcess, port: int) -> None:
    try:
        async with asyncio.timeout(_START_SECONDS):
            while server.pid is not None:
                try:
                    _, writer = await asyncio.open_connection(HOST, port)
                except OSError:
                    await asyncio.sleep(_POLL_SECONDS)
                else:
                    writer.close()
                    return
    except TimeoutError:
        raise BenchmarkError(f"bare aiohttp does not listen after {_START_SECONDS:g} s") from None
    raise BenchmarkError(f"bare aiohttp ended: {server.last_error_line()}")
