"""Connections that are silent or too many are closed, and errors are answered as problems."""

from __future__ import annotations

import asyncio
import logging
import resource
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from aiohttp import web

from api.app import create_app
from api.http import connections
from api.http.connections import (
    MAX_CONNECTIONS,
    MAX_DESCRIPTORS,
    Connections,
    connection_limit,
    raise_descriptor_limit,
)
from api.kafka.publisher import ANSWER_SECONDS
from api.public.app import public_site
from tests.fakes import FakeGateway
from tests.unit.api.answers import STORE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Client:
    """A connection that sends bytes and reads answers."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def answer(self, request: bytes = b"") -> tuple[int, dict[str, str], bytes]:
        """Send the request, and return status, headers and body of the next answer."""
        self.writer.write(request)
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().splitlines()
        headers = {
            name.lower(): value
            for name, _, value in (line.partition(": ") for line in head[1:] if line)
        }
        body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return int(head[0].split()[1]), headers, body

    async def ended(self) -> bool:
        """Wait until the server closes the connection; return whether it sent nothing before."""
        try:
            return await self.reader.read() == b""
        except ConnectionResetError:
            return True


class Connect:
    """Opens connections to a server.

    Attributes:
        server: the server's side of the connections.
    """

    def __init__(self, server: Connections, port: int) -> None:
        self.server = server
        self._port = port
        self._opened: list[Client] = []

    async def __call__(self) -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", self._port))
        self._opened.append(client)
        return client

    def close(self) -> None:
        for client in self._opened:
            client.writer.close()

    def deadlines(self) -> list[bool]:
        """Return for each open connection whether it waits for the head of a request."""
        return [each._head_deadline is not None for each in self.server._open]


@asynccontextmanager
async def listening(app: web.Application, most: int = 100) -> AsyncIterator[Connect]:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    server = Connections(most)
    ((_, port),) = await server.listen(runner, "127.0.0.1", 0)
    connect = Connect(server, port)
    try:
        yield connect
    finally:
        connect.close()
        server.stop_listening()
        await runner.cleanup()


def api(most: int = 100) -> AbstractAsyncContextManager[Connect]:
    return listening(create_app(FakeGateway(STORE)), most)


@pytest.mark.parametrize("beginning", [b"", b"G", b"GET /healthz HTTP/1.1\r\nHost: local", b"\r\n"])
async def test_a_connection_without_a_whole_head_is_closed(
    monkeypatch: pytest.MonkeyPatch, beginning: bytes
) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.05)
    async with api() as connect:
        client = await connect()
        client.writer.write(beginning)
        assert await client.ended()


async def test_sending_one_byte_at_a_time_does_not_keep_a_connection_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.1)
    async with api() as connect:
        client = await connect()
        ended = asyncio.create_task(client.ended())
        sent = 0
        while not ended.done():
            client.writer.write(b"GET / HTTP/1.1\r\nX-Long: "[sent : sent + 1] or b"x")
            sent += 1
            await asyncio.sleep(0.005)
        assert await ended


async def test_a_connection_without_a_whole_head_of_a_further_request_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with api() as connect:
        client = await connect()
        assert (await client.answer(HEALTH))[0] == HTTPStatus.OK
        monkeypatch.setattr(connections, "HEAD_SECONDS", 0.05)
        client.writer.write(b"GET ")
        assert await client.ended()


async def test_an_idle_connection_is_kept_for_a_while_and_not_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with api() as connect:
        client = await connect()
        assert (await client.answer(HEALTH))[0] == HTTPStatus.OK
        assert connect.deadlines() == [False]
        (connection,) = connect.server._open
        assert connection.keepalive_timeout == connections.IDLE_SECONDS
        assert (await client.answer(HEALTH))[0] == HTTPStatus.OK
    monkeypatch.setattr(connections, "IDLE_SECONDS", 0.05)
    async with api() as connect:
        client = await connect()
        assert (await client.answer(HEALTH))[0] == HTTPStatus.OK
        assert await client.ended()


async def test_a_long_request_and_an_event_stream_do_not_count_as_silence() -> None:
    async with api() as connect:
        client = await connect()
        path = f"/stores/{STORE}/status".encode()
        head = (
            b"POST " + path + b" HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20\r\n"
            b"Expect: 100-continue\r\n\r\n"
        )
        assert (await client.answer(head))[0] == HTTPStatus.CONTINUE
        assert connect.deadlines() == [False]
        client.writer.write(b'{"status"')
        assert (await client.answer(b': "active"}'))[0] == HTTPStatus.ACCEPTED
        client.writer.write(b"GET /fleet/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await client.reader.readuntil(b"event: fleet")
        assert connect.deadlines() == [False]


async def test_a_post_that_comes_as_a_whole_has_one_time_limit_that_of_its_acknowledgement(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    body = b'{"status": "active"}'
    path = f"/stores/{STORE}/status".encode()
    post = b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b"
    async with api() as connect:
        client = await connect()
        # the first request of a connection waits for its head, and aiohttp times the idle time
        assert (await client.answer(post % (path, len(body), body)))[0] == HTTPStatus.ACCEPTED
        loop = asyncio.get_running_loop()
        limits: list[float] = []
        call_at = loop.call_at

        def counted(when: float, *arguments: Any, **context: Any) -> asyncio.TimerHandle:
            # what the API does every second has shorter pauses
            if when - loop.time() > ANSWER_SECONDS / 2:
                limits.append(when)
            return call_at(when, *arguments, **context)

        monkeypatch.setattr(loop, "call_at", counted)
        assert (await client.answer(post % (path, len(body), body)))[0] == HTTPStatus.ACCEPTED
        assert len(limits) == 1
        monkeypatch.undo()


async def test_the_longest_idle_connection_makes_room_for_a_new_one() -> None:
    async with api(most=8) as connect:
        silent = [await connect() for _ in range(50)]
        for _ in range(3):
            client = await connect()
            assert (await client.answer(HEALTH))[0] == HTTPStatus.OK
        assert all([await client.ended() for client in silent[:42]])


async def test_a_connection_with_an_open_request_is_not_closed_for_a_new_one() -> None:
    async with api(most=4) as connect:
        stream = await connect()
        stream.writer.write(b"GET /fleet/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await stream.reader.readuntil(b"event: fleet")
        reused = await connect()
        assert (await reused.answer(HEALTH))[0] == HTTPStatus.OK
        for _ in range(20):
            await connect()
            # one that is used again is not the longest idle one
            assert (await reused.answer(HEALTH))[0] == HTTPStatus.OK
        assert not stream.reader.at_eof()


async def test_a_new_connection_is_closed_while_all_others_have_open_requests() -> None:
    async with api(most=2) as connect:
        streams = [await connect() for _ in range(2)]
        for stream in streams:
            stream.writer.write(b"GET /fleet/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await stream.reader.readuntil(b"event: fleet")
        assert await (await connect()).ended()
        assert not any(stream.reader.at_eof() for stream in streams)


@pytest.mark.parametrize(
    ("head", "status", "reason"),
    [
        (b"nonsense\r\n\r\n", 400, "Invalid method"),
        (b"GET /healthz HTTP/9.9\r\n\r\n", 400, "cannot be read"),
        (b"GET /healthz HTTP/1.1\r\n\r\n", 400, "Missing 'Host' header"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: x\r\n\r\n", 400, "Duplicate 'Host'"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nBad Header: x\r\n\r\n", 400, "cannot be read"),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n", 400, "8190"),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n", 400, "cannot be read"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "cannot be read"),
        (
            b"POST /status HTTP/1.1\r\nHost: localhost\r\nExpect: 200-ok\r\n"
            b"Content-Length: 2\r\n\r\n",
            417,
            "Unknown Expect: 200-ok",
        ),
        (b"GET /nope HTTP/1.1\r\nHost: localhost\r\nExpect: cake\r\n\r\n", 417, "cake"),
    ],
)
async def test_an_error_before_the_application_is_a_problem_like_any_other(
    head: bytes, status: int, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = FakeGateway(STORE)
    for app in (create_app(gateway), public_site(gateway.public_status, gateway.settings)):
        async with listening(app) as connect:
            client = await connect()
            answer_status, headers, body = await client.answer(head)
        assert answer_status == status
        assert headers["content-type"] == "application/problem+json"
        problem = orjson.loads(body)
        assert set(problem) == {"type", "title", "status", "detail"}
        assert problem["status"] == status
        assert reason in problem["detail"]
        assert len(problem["detail"]) < 300
        assert headers["server"] == "store-uptime"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
    assert "Traceback" not in caplog.text
    assert all(
        len(entry.getMessage()) < 400 and entry.levelno < logging.ERROR
        for entry in caplog.records
        if entry.name.startswith(("api", "aiohttp"))
    )


async def test_the_server_accepts_connections_after_malformed_requests() -> None:
    async with api(most=2) as connect:
        for _ in range(10):
            client = await connect()
            assert (await client.answer(b"nonsense\r\n\r\n"))[0] == HTTPStatus.BAD_REQUEST
            assert await client.ended()
        assert (await (await connect()).answer(HEALTH))[0] == HTTPStatus.OK


def test_connections_leave_descriptors_for_other_files() -> None:
    assert connection_limit(64) == 32
    assert connection_limit(1024) == 768
    assert connection_limit(1_048_576) == MAX_CONNECTIONS
    assert connection_limit(1) == 1


def test_the_limit_of_descriptors_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    new_limits: list[Any] = []
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: new_limits.append(limits))
    for soft, hard, most in (
        (1024, 4096, 4096),
        (4096, 4096, 4096),
        (1024, 1 << 20, MAX_DESCRIPTORS),
        (1024, resource.RLIM_INFINITY, MAX_DESCRIPTORS),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, MAX_DESCRIPTORS),
        (1 << 20, 1 << 20, 1 << 20),
    ):
        new_limits.clear()
        monkeypatch.setattr(resource, "getrlimit", lambda _, s=soft, h=hard: (s, h))
        assert raise_descriptor_limit() == most
        assert new_limits == ([(most, hard)] if resource.RLIM_INFINITY != soft < most else [])


def test_a_limit_of_descriptors_that_cannot_be_raised_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_: int, __: tuple[int, int]) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 4096))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert raise_descriptor_limit() == 256


async def test_pipelined_requests_are_answered_one_by_one() -> None:
    async with api() as connect:
        client = await connect()
        client.writer.write(HEALTH + HEALTH.replace(b"localhost", b"evil.example") + HEALTH)
        assert [(await client.answer())[0] for _ in range(3)] == [200, 421, 200]
        assert connect.deadlines() == [False]
