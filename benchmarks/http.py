"""An HTTP/1.1 client for load, which needs little CPU because it shares the machine.

Requests are bytes that were made before the measurement; of an answer only the status and the body
are read.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from benchmarks.errors import BenchmarkError

if TYPE_CHECKING:
    from collections.abc import Iterator

ACCEPTED: Final = 202
_LENGTH: Final = b"content-length:"


def request(method: str, path: str, body: bytes = b"") -> bytes:
    """Return the bytes of a request."""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    elif method == "POST":
        head += "Content-Length: 0\r\n"
    return f"{head}\r\n".encode() + body


def split_answer(data: bytes) -> tuple[int, bytes, bytes] | None:
    """Return the status, the body and the bytes after the answer; None if it is not whole yet.

    Raises:
        BenchmarkError: the answer has no Content-Length.
    """
    head, separator, rest = data.partition(b"\r\n\r\n")
    if not separator:
        return None
    lower = head.lower()
    place = lower.find(_LENGTH)
    if place < 0:
        raise BenchmarkError(f"an answer without a length: {head[:60]!r}")
    length = int(lower[place + len(_LENGTH) :].split(b"\r\n", 1)[0])
    if len(rest) < length:
        return None
    return int(head[9:12]), rest[:length], rest[length:]


class KeepAlive(asyncio.Protocol):
    """A connection with one request at a time; `connect` opens it."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._data = b""
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None

    @classmethod
    async def connect(cls, host: str, port: int) -> KeepAlive:
        """Open a connection."""
        _, connection = await asyncio.get_running_loop().create_connection(cls, host, port)
        return connection

    async def ask(self, data: bytes) -> tuple[int, bytes]:
        """Return the status and body of the answer to a request.

        Raises:
            BenchmarkError: the connection was closed before the answer.
        """
        if self._transport is None:
            raise BenchmarkError("the API closed the connection")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(data)
        return await self._answer

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport of the new connection."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  what a TCP connection has
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Collect bytes, and return the answer to `ask` when it is whole."""
        self._data += data
        answer = split_answer(self._data)
        if answer is not None and self._answer is not None:
            status, body, self._data = answer
            self._answer.set_result((status, body))

    def connection_lost(self, error: Exception | None) -> None:
        """Let the waiting `ask` fail."""
        self._transport = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(BenchmarkError(f"the API closed the connection: {error}"))


@dataclass(slots=True)
class LoadResult:
    """The result of a load.

    Attributes:
        seconds: time from the first request to the last answer.
        statuses: the number of answers of each status.
        latencies: seconds from each accepted request to its answer.
        refused: the beginning of the last answer that was not 202.
    """

    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    refused: bytes = b""

    @property
    def accepted(self) -> int:
        """Return the number of acknowledged requests."""
        return self.statuses[ACCEPTED]


class _LoadConnection(asyncio.Protocol):
    """Sends the next request when the last one is answered, without a task for each request."""

    def __init__(self, requests: Iterator[bytes], until: float, result: LoadResult) -> None:
        self._requests = requests
        self._until = until
        self._result = result
        self._data = b""
        self._sent = 0.0
        self._transport: asyncio.Transport | None = None
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  what a TCP connection has
        self._transport = transport
        self._next()

    def _next(self) -> None:
        now = time.perf_counter()
        data = next(self._requests, None) if now < self._until else None
        if self._transport is None or data is None:
            self._finish_load()
            return
        self._sent = now
        self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        self._data += data
        answer = split_answer(self._data)
        if answer is None:
            return
        status, body, self._data = answer
        self._result.statuses[status] += 1
        if status == ACCEPTED:
            self._result.latencies.append(time.perf_counter() - self._sent)
        else:
            self._result.refused = body[:200]
        self._next()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(BenchmarkError(f"the API closed a connection: {error}"))

    def _finish_load(self) -> None:
        if not self.done.done():
            self.done.set_result(None)
        if self._transport is not None:
            self._transport.close()


async def load(
    host: str, port: int, requests: Iterator[bytes], *, connections: int, seconds: float
) -> LoadResult:
    """Send requests over some connections; each sends its next one when the last is answered.

    Args:
        host: host of the API.
        port: port of the API.
        requests: the requests in their order; the load ends after the last one.
        connections: number of connections.
        seconds: time after which no further request is sent.
    """
    result = LoadResult()
    begin = time.perf_counter()
    loop = asyncio.get_running_loop()
    opened = [
        (
            await loop.create_connection(
                lambda: _LoadConnection(requests, begin + seconds, result), host, port
            )
        )[1]
        for _ in range(connections)
    ]
    await asyncio.gather(*(connection.done for connection in opened))
    result.seconds = time.perf_counter() - begin
    return result
