"""A test sends the server-sent events of a stream, and cuts its connections."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import orjson
from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable
    from http import HTTPStatus


PATIENCE: Final = 20
"""Seconds that a test waits for listeners before it fails."""


class Streams:
    """The connections that listen to one kind of event."""

    def __init__(self, name: str) -> None:
        self.refused: HTTPStatus | None = None
        self._name = name
        self._listeners: set[asyncio.Queue[bytes | None]] = set()
        self._changed = asyncio.Condition()
        self._accepting = asyncio.Event()
        self._accepting.set()

    async def serve(
        self, request: web.Request, first: Callable[[], dict[str, Any]]
    ) -> web.StreamResponse:
        """Send the event that `first` makes, then every event, until the connection is cut."""
        await self._accepting.wait()
        if self.refused is not None:
            return web.Response(status=self.refused)
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        # the page connects again soon, so that no test waits long after a cut
        await response.write(b"retry: 20\n\n" + self._written(first()))
        async with self._changed:
            self._listeners.add(queue)
            self._changed.notify_all()
        try:
            while (event := await queue.get()) is not None:
                await response.write(event)
        finally:
            async with self._changed:
                self._listeners.discard(queue)
                self._changed.notify_all()
        return response

    async def send(self, data: dict[str, Any]) -> None:
        """Send an event to all listeners, as soon as there is one."""
        await self.listened()
        for queue in self._listeners:
            queue.put_nowait(self._written(data))

    async def listened(self, listeners: int = 1) -> None:
        """Wait until at least this number of connections listens."""
        async with asyncio.timeout(PATIENCE), self._changed:
            await self._changed.wait_for(lambda: len(self._listeners) >= listeners)

    async def left(self) -> None:
        """Wait until no connection listens."""
        async with asyncio.timeout(PATIENCE), self._changed:
            await self._changed.wait_for(lambda: not self._listeners)

    def hold_back(self) -> None:
        """Let new listeners wait."""
        self._accepting.clear()

    def go_on(self) -> None:
        """Accept the listeners that wait, and all later ones."""
        self._accepting.set()

    def cut(self) -> None:
        """End every connection."""
        for queue in self._listeners:
            queue.put_nowait(None)

    def _written(self, data: dict[str, Any]) -> bytes:
        return b"event: %b\ndata: %b\n\n" % (self._name.encode(), orjson.dumps(data))
