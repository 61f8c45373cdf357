from __future__ import annotations

import asyncio

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.http import KeepAlive, load, request, split_answer

ANSWER = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\nServer: x\r\n\r\nok"


def test_a_request_has_the_length_of_its_body() -> None:
    assert request("GET", "/a") == b"GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n"
    assert b"Content-Length: 2\r\n\r\n{}" in request("POST", "/a", b"{}")
    assert request("POST", "/a").endswith(b"Content-Length: 0\r\n\r\n")


@pytest.mark.parametrize("cut", range(len(ANSWER)))
def test_an_incomplete_answer_is_not_read(cut: int) -> None:
    assert split_answer(ANSWER[:cut]) is None


def test_bytes_after_an_answer_are_returned() -> None:
    assert split_answer(ANSWER + b"HTTP") == (202, b"ok", b"HTTP")


def test_an_answer_without_a_length_is_refused() -> None:
    with pytest.raises(BenchmarkError, match="without a length"):
        split_answer(b"HTTP/1.1 200 OK\r\n\r\n")


async def serve(statuses: list[int], seen: list[bytes]) -> asyncio.Server:
    """Start a server that answers each request with the next status, and repeats the last one."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            seen.append(head)
            status = statuses.pop(0) if len(statuses) > 1 else statuses[0]
            writer.write(b"HTTP/1.1 %d X\r\ncontent-length: 2\r\n\r\nok" % status)

    async def until_closed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        except asyncio.IncompleteReadError:
            writer.close()

    return await asyncio.start_server(until_closed, "127.0.0.1", 0)


def port_of(server: asyncio.Server) -> int:
    return int(server.sockets[0].getsockname()[1])


async def test_a_load_counts_accepted_requests_apart_from_other_answers() -> None:
    seen: list[bytes] = []
    async with await serve([429, 202], seen) as server:
        requests = (request("POST", f"/{n}") for n in range(10))
        result = await load("127.0.0.1", port_of(server), requests, connections=3, seconds=60)
    assert result.statuses == {429: 1, 202: 9}
    assert result.accepted == len(result.latencies) == 9
    assert result.refused == b"ok"
    # each request is sent once, on any connection
    paths = sorted(int(head.split()[1][1:]) for head in seen)
    assert paths == list(range(10))


async def test_a_load_ends_when_its_time_is_over() -> None:
    async with await serve([202], []) as server:
        endless = iter(lambda: request("POST", "/"), b"")
        result = await load("127.0.0.1", port_of(server), endless, connections=2, seconds=0)
    assert result.accepted == 0


async def test_one_connection_carries_many_requests() -> None:
    async with await serve([202, 200], []) as server:
        connection = await KeepAlive.connect("127.0.0.1", port_of(server))
        assert await connection.ask(request("POST", "/")) == (202, b"ok")
        assert await connection.ask(request("GET", "/")) == (200, b"ok")
        connection.close()
