"""Serves an application on a port from a thread of its own, for clients that block."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aiohttp.test_utils import TestServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aiohttp import web


@contextmanager
def served(create: Callable[[], web.Application]) -> Iterator[str]:
    """Serve an application, which `create` makes in the server's own loop; yield its address."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def start() -> TestServer:
        server = TestServer(create())
        await server.start_server()
        return server

    try:
        server = asyncio.run_coroutine_threadsafe(start(), loop).result()
        try:
            yield str(server.make_url("")).rstrip("/")
        finally:
            asyncio.run_coroutine_threadsafe(server.close(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
