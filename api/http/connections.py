"""Connections to the server: their number is limited, and silent ones are closed.

aiohttp reads the requests. This module adds a time limit for the head of a request, a limit for the
number of connections, and problem responses for errors that occur before the application.
"""

from __future__ import annotations

import asyncio
import logging
import resource
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from api.http.problems import problem
from api.http.response_headers import add_headers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)

HEAD_SECONDS: Final = 10.0
"""Seconds for the request line and the headers, from the connection or the first byte on."""

IDLE_SECONDS: Final = 75.0
"""Seconds that a connection stays open for a further request; proxies close theirs earlier."""

MAX_CONNECTIONS: Final = 10_000
"""The number of connections beyond which a new one closes the one that is idle longest."""

MAX_DESCRIPTORS: Final = 65_536
"""The most file descriptors that the process asks for: some systems allow a billion."""

_OWN_DESCRIPTORS: Final = 256
"""File descriptors that stay free for files and for Kafka; half of them if the limit is low."""

SERVER_OPTIONS: Final[dict[str, Any]] = {
    # `content_coding` unpacks bodies, and counts the unpacked bytes
    "auto_decompress": False,
    # the rest of a body that was refused is not read: the connection is closed
    "lingering_time": 0.0,
}
"""Options with which every server of this product reads requests."""

_MAX_BACKLOG: Final = 128
_SHOWN: Final = 200


def raise_descriptor_limit() -> int:
    """Raise the limit of open files to `MAX_DESCRIPTORS` if possible; return the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    target = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MAX_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < target:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
        except (ValueError, OSError) as error:
            log.warning("no more than %d open files: %s", soft, error)
            return soft
        return target
    return target if soft == resource.RLIM_INFINITY else soft


def connection_limit(descriptors: int) -> int:
    """Return the number of connections that leaves enough descriptors for everything else."""
    return max(1, min(MAX_CONNECTIONS, descriptors - min(_OWN_DESCRIPTORS, descriptors // 2)))


class Connections:
    """All open connections of this process.

    Args:
        max_connections: the largest number of open connections.
    """

    def __init__(self, max_connections: int) -> None:
        self._max_connections = max_connections
        self._open: set[Connection] = set()
        # those without a request in flight, the longest idle first
        self._idle: dict[Connection, None] = {}
        self._servers: list[asyncio.Server] = []

    async def listen(self, runner: web.AppRunner, host: str, port: int) -> list[Any]:
        """Accept connections for an application; return the addresses of the sockets.

        Args:
            runner: the application, set up.
            host: the address.
            port: the port; 0 for any free one.

        Raises:
            OSError: the address is in use, or is not of this machine.
            RuntimeError: the runner is not set up.
        """
        server = runner.server
        if server is None:
            raise RuntimeError("the runner must be set up first")
        loop = asyncio.get_running_loop()
        server.request_handler = self._handler(server.request_handler)
        listening = await loop.create_server(
            lambda: Connection(server, self, loop),
            host,
            port,
            # so many are accepted in one turn, before the first of them is counted
            backlog=max(1, min(_MAX_BACKLOG, self._max_connections // 4)),
        )
        self._servers.append(listening)
        return [each.getsockname() for each in listening.sockets]

    def stop_listening(self) -> None:
        """Accept no more."""
        for server in self._servers:
            server.close()

    def opened(self, connection: Connection) -> None:
        """Add a connection that was accepted; if there are too many, close the longest idle one."""
        self._open.add(connection)
        self._idle[connection] = None
        if len(self._open) > self._max_connections:
            longest = next(iter(self._idle))
            self.closed(longest)
            longest.force_close()

    def busy(self, connection: Connection) -> None:
        """Mark a connection as serving a request."""
        self._idle.pop(connection, None)

    def idle(self, connection: Connection) -> None:
        """Mark a connection as idle: the answer to its request is written."""
        if connection in self._open:
            self._idle[connection] = None

    def closed(self, connection: Connection) -> None:
        """Forget a connection that is gone."""
        self._open.discard(connection)
        self._idle.pop(connection, None)

    def _handler(
        self, handle: Callable[[Any], Awaitable[web.StreamResponse]]
    ) -> Callable[[Any], Awaitable[web.StreamResponse]]:
        """Make the handler of requests: the application, and problems for errors outside of it."""

        async def answer(request: web.BaseRequest) -> web.StreamResponse:
            connection = request.protocol
            if isinstance(connection, Connection):
                connection.request_began()
            try:
                return await handle(request)
            except web.HTTPException as error:
                if error.status < HTTPStatus.BAD_REQUEST:
                    raise
                # such as an unknown `Expect`, which is looked at before any middleware
                return problem(HTTPStatus(error.status), _one_line(error.text or error.reason))

        return answer


class Connection(web.RequestHandler):
    """One connection.

    Args:
        server: the server that answers its requests.
        connections: all connections of the process.
        loop: the event loop that it runs in.
    """

    def __init__(
        self, server: web.Server, connections: Connections, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(
            server,
            loop=loop,
            access_log=None,  # type: ignore[arg-type]  # None is what turns it off
            keepalive_timeout=IDLE_SECONDS,
            **SERVER_OPTIONS,
        )
        self._connections = connections
        self._head_deadline: asyncio.TimerHandle | None = None
        self._in_request = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._wait_for_head()
        self._connections.opened(self)

    def data_received(self, data: bytes) -> None:
        """Process some bytes; the first ones of a request are the beginning of its head."""
        super().data_received(data)
        # a head that came as a whole needs no timer
        if data and self._head_deadline is None and not self._in_request and not self._messages:
            self._wait_for_head()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the connection: nothing more comes."""
        self._head_is_here()
        self._connections.closed(self)
        super().connection_lost(exc)

    def request_began(self) -> None:
        """Mark the connection as busy: the head of a request has arrived."""
        self._in_request = True
        self._head_is_here()
        self._connections.busy(self)

    async def finish_response(self, *args: Any, **kwargs: Any) -> tuple[web.StreamResponse, bool]:
        """Write an answer; then the connection is idle."""
        try:
            return await super().finish_response(*args, **kwargs)
        finally:
            self._in_request = False
            self._connections.idle(self)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer a request that cannot be read, or that failed outside the application."""
        if request.writer.output_size > 0 or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            response = super().handle_error(request, status, exc, message)
            if isinstance(response, web.Response):
                response = problem(HTTPStatus(status), HTTPStatus(status).phrase)
        else:
            reason = _one_line(message or str(exc))
            log.warning("a request from %s cannot be read: %s", request.remote, reason)
            response = problem(HTTPStatus(status), f"the request cannot be read: {reason}")
        add_headers(response)
        response.force_close()
        return response

    def _wait_for_head(self) -> None:
        self._head_deadline = self._loop.call_later(HEAD_SECONDS, self.force_close)

    def _head_is_here(self) -> None:
        if self._head_deadline is not None:
            self._head_deadline.cancel()
            self._head_deadline = None


def _one_line(text: str) -> str:
    return " ".join(text.split())[:_SHOWN]
