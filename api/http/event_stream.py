"""Server-sent events: a bounded number of streams, all of which end when the API stops."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import orjson
from aiohttp import ClientConnectionResetError, web

from api.http.problems import RETRY_SECONDS, ProblemError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MAX_STREAMS: Final = 500
"""Streams that one process serves at once; each costs a connection and some kilobytes."""

MAX_STREAMS_OF_A_CLIENT: Final = 100
"""Streams of one address; all users behind a proxy share the address of the proxy."""

KEEP_ALIVE_SECONDS: Final = 15.0
"""Seconds after which a silent stream sends a comment, and so finds out that its client left."""

RECONNECT_MS: Final = 2_000

_SIGN_OF_LIFE: Final = b": still here\n\n"


class EventStream:
    """One stream that is being written.

    Attributes:
        response: the response, which the handler returns in the end.
    """

    def __init__(self, response: web.StreamResponse, stopping: asyncio.Event) -> None:
        self.response = response
        self._stopping = stopping

    async def send(self, event: str, data: object, number: int | None = None) -> None:
        """Write an event.

        Raises:
            ClientConnectionResetError: nobody listens any more.
        """
        head = f"event: {event}\n" + ("" if number is None else f"id: {number}\n")
        await self.response.write(head.encode() + b"data: " + orjson.dumps(data) + b"\n\n")

    async def wait(self, changed: asyncio.Event) -> bool:
        """Wait for a change; return False if the API stops."""
        while not changed.is_set():
            if self._stopping.is_set():
                return False
            waiting = [asyncio.ensure_future(event.wait()) for event in (changed, self._stopping)]
            try:
                done, _ = await asyncio.wait(
                    waiting,
                    timeout=KEEP_ALIVE_SECONDS,
                    return_when=asyncio.FIRST_COMPLETED,
                )
            finally:
                for task in waiting:
                    task.cancel()
            if not done:
                await self.response.write(_SIGN_OF_LIFE)
        changed.clear()
        return not self._stopping.is_set()


class EventStreams:
    """All streams of this process.

    Args:
        limit: how many there may be.
        limit_of_a_client: how many of them one address may have.
    """

    def __init__(
        self, limit: int = MAX_STREAMS, limit_of_a_client: int = MAX_STREAMS_OF_A_CLIENT
    ) -> None:
        self._limit = limit
        self._limit_of_a_client = limit_of_a_client
        self._open: list[web.Request] = []
        self._stopping = asyncio.Event()

    def open_count(self) -> int:
        """Return how many streams are open."""
        return len(self._open)

    def end_all(self) -> None:
        """End all streams."""
        self._stopping.set()

    @asynccontextmanager
    async def open(self, request: web.Request) -> AsyncIterator[EventStream]:
        """Answer a request with a stream, which ends with the block or when nobody listens.

        Raises:
            ProblemError: there are too many.
        """
        reason = self._why_too_many(request)
        if reason is not None:
            raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, reason, retry_after=RETRY_SECONDS)
        self._open.append(request)
        try:
            response = web.StreamResponse(
                headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
            )
            response.content_type = "text/event-stream"
            response.charset = "utf-8"
            await response.prepare(request)
            await response.write(f"retry: {RECONNECT_MS}\n\n".encode())
            yield EventStream(response, self._stopping)
            await response.write_eof()
        except (ClientConnectionResetError, ConnectionResetError):
            # the client has left, as all clients of such streams do one day
            pass
        finally:
            self._open.remove(request)

    def _why_too_many(self, request: web.Request) -> str | None:
        # a stream whose client has left ends with its next write, and does not count until then
        live = [each for each in self._open if _is_connected(each)]
        if len(live) >= self._limit or len(self._open) >= 2 * self._limit:
            return f"{self._limit} event streams are open already"
        if sum(each.remote == request.remote for each in live) >= self._limit_of_a_client:
            return f"{self._limit_of_a_client} event streams of {request.remote} are open already"
        return None


def _is_connected(request: web.Request) -> bool:
    return request.transport is not None and not request.transport.is_closing()
