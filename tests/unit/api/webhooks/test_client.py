"""A webhook client makes one attempt at a real HTTP server of this machine."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import ClientTimeout, web
from aiohttp.abc import AbstractResolver

from api.webhooks import client as client_module
from api.webhooks.allowlist import Allowlist
from api.webhooks.client import MAX_CONNECTIONS_TO_ONE, CheckedResolver, WebhookClient
from stream_app.webhook_hosts import parse_webhook_hosts
from tests.fakes import now
from tests.unit.api.answers import REPORT
from tests.unit.api.webhooks.receiver import KEY, Receiver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp.abc import ResolveResult

BODY = b'{"type":"report.complete"}'


class FakeResolver(AbstractResolver):
    """A resolver that has the same addresses for every name."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.names: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.names.append(host)
        return [
            {
                "hostname": host,
                "host": address,
                "port": port,
                "family": family,
                "proto": 0,
                "flags": socket.AI_NUMERICHOST,
            }
            for address in self.addresses
        ]

    async def close(self) -> None:
        pass


@asynccontextmanager
async def webhook_client(
    hosts: str, resolver: AbstractResolver | None = None
) -> AsyncIterator[WebhookClient]:
    client = WebhookClient(Allowlist(parse_webhook_hosts(hosts)), KEY, now, resolver)
    await client.start()
    yield client
    await client.stop()


async def attempt(receiver: Receiver) -> tuple[str, str]:
    async with webhook_client(receiver.host) as sender:
        result = await sender.post(receiver.url, REPORT, BODY)
        return result.outcome, result.detail


async def test_a_signed_body_arrives() -> None:
    async with Receiver(200) as receiver:
        assert await attempt(receiver) == ("delivered", "answered 200")
    ((headers, body),) = receiver.requests

    assert receiver.paths == ["/hook"]
    assert body == BODY
    assert headers["Content-Type"] == "application/json"
    assert headers["webhook-id"] == REPORT
    assert abs(int(headers["webhook-timestamp"]) - now() // 1_000_000) < 60
    signed = f"{REPORT}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        *((200, "delivered"), (202, "delivered"), (204, "delivered")),
        *((410, "refused"), (400, "failed"), (404, "failed"), (429, "failed")),
        *((500, "failed"), (503, "failed"), (304, "failed")),
    ],
)
async def test_the_status_decides_the_outcome(status: int, outcome: str) -> None:
    async with Receiver(status) as receiver:
        result, detail = await attempt(receiver)
    assert result == outcome
    assert str(status) in detail


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(status: int) -> None:
    async def redirect(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, headers={"Location": "/elsewhere"})

    async with Receiver(redirect) as receiver:
        result, detail = await attempt(receiver)
    assert (result, detail) == ("failed", f"answered {status}: redirects are not followed")
    assert receiver.paths == ["/hook"]


async def test_a_receiver_that_does_not_answer_is_a_failure_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client_module, "_TIMEOUT", ClientTimeout(total=0.1))
    over = asyncio.Event()

    async def silent(_request: web.Request) -> web.StreamResponse:
        await over.wait()
        return web.Response()

    async with Receiver(silent) as receiver:
        result, detail = await attempt(receiver)
        over.set()
    assert result == "failed"
    assert detail.startswith("no answer within ")


async def test_only_the_beginning_of_an_endless_answer_is_read() -> None:
    written = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal written
        response = web.StreamResponse()
        await response.prepare(request)
        while written < 1 << 30:
            await response.write(bytes(1 << 16))
            written += 1 << 16
        return response

    async with Receiver(endless) as receiver:
        assert await attempt(receiver) == ("delivered", "answered 200")
    # the sockets between them hold some more
    assert written < 64 << 20


async def test_a_slow_body_of_an_answer_does_not_hold_up_the_attempt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client_module, "_TIMEOUT", ClientTimeout(total=0.2))
    over = asyncio.Event()

    async def dripping(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await over.wait()
        return response

    async with Receiver(dripping) as receiver:
        assert await attempt(receiver) == ("delivered", "answered 200")
        over.set()


async def test_a_receiver_that_does_not_listen_is_a_failed_attempt() -> None:
    async with Receiver() as receiver:
        url, host = receiver.url, receiver.host
    async with webhook_client(host) as sender:
        result = await sender.post(url, REPORT, BODY)
    assert result.outcome == "failed"


@pytest.mark.parametrize(
    "answer",
    [
        b"nonsense /T0P?key=s3cret\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"a: " + b"b" * 70_000 + b"\r\n\r\n",
        b"",
    ],
)
async def test_an_answer_of_nonsense_does_not_bring_the_path_into_a_reason(answer: bytes) -> None:
    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(nonsense, "127.0.0.1", 0)
    async with server:
        host = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with webhook_client(host) as sender:
            attempt = await sender.post(f"{host}/T0P?key=s3cret", REPORT, b"{}")
    assert attempt.outcome == "failed"
    assert "T0P" not in attempt.detail
    assert "s3cret" not in attempt.detail


async def test_a_url_that_is_no_longer_listed_is_given_up() -> None:
    async with Receiver() as receiver, webhook_client("hooks.example.com") as sender:
        result = await sender.post(receiver.url, REPORT, BODY)
    assert result.outcome == "refused"
    assert receiver.requests == []


@pytest.mark.parametrize(
    "addresses",
    [("127.0.0.1",), ("8.8.8.8", "10.0.0.1"), ("::1",), ("::ffff:127.0.0.1",), ("fe80::1%eth0",)],
)
async def test_a_listed_name_with_another_address_is_not_called(addresses: tuple[str, ...]) -> None:
    async with Receiver() as receiver:
        port = receiver.host.rpartition(":")[2]
        async with webhook_client(f"hooks.example.com:{port}", FakeResolver(*addresses)) as sender:
            result = await sender.post(f"https://hooks.example.com:{port}/", REPORT, BODY)
    assert result.outcome == "failed"
    assert "hooks.example.com has an address that is not public" in result.detail
    assert receiver.requests == []


async def test_a_name_that_is_the_operators_own_may_have_any_address() -> None:
    async with Receiver() as receiver:
        port = receiver.host.rpartition(":")[2]
        resolver = FakeResolver("127.0.0.1")
        async with webhook_client(f"http://receiver.intern:{port}", resolver) as sender:
            result = await sender.post(f"http://receiver.intern:{port}/", REPORT, BODY)
    assert result.outcome == "delivered"
    assert resolver.names == ["receiver.intern"], (
        "it is looked up once: the checked address is called"
    )
    assert receiver.requests[0][0]["Host"] == f"receiver.intern:{port}"


async def test_each_attempt_looks_the_name_up_again() -> None:
    async with Receiver() as receiver:
        port = receiver.host.rpartition(":")[2]
        resolver = FakeResolver("127.0.0.1")
        async with webhook_client(f"http://receiver.intern:{port}", resolver) as sender:
            for _ in range(3):
                await sender.post(f"http://receiver.intern:{port}/", REPORT, BODY)
    assert len(resolver.names) == 3


async def test_public_addresses_are_allowed() -> None:
    resolver = FakeResolver("8.8.8.8", "2001:4860:4860::8888")
    checked = CheckedResolver(Allowlist(parse_webhook_hosts("hooks.example.com")), resolver)
    results = await checked.resolve("hooks.example.com", 443)
    assert [address["host"] for address in results] == ["8.8.8.8", "2001:4860:4860::8888"]


async def test_a_slow_host_has_a_limit_of_attempts_and_leaves_room_for_others() -> None:
    over = asyncio.Event()

    async def slow(_request: web.Request) -> web.StreamResponse:
        await over.wait()
        return web.Response()

    async with (
        Receiver(slow) as first,
        Receiver(200) as second,
        webhook_client(f"{first.host},{second.host}") as sender,
    ):
        waiting: list[asyncio.Task[Any]] = [
            asyncio.create_task(sender.post(first.url, REPORT, BODY)) for _ in range(100)
        ]
        await first.wait_for_requests(MAX_CONNECTIONS_TO_ONE)
        result = await sender.post(second.url, REPORT, BODY)
        assert result.outcome == "delivered"
        assert len(first.requests) == MAX_CONNECTIONS_TO_ONE
        over.set()
        assert {(await each).outcome for each in waiting} == {"delivered"}
        assert sender._host_slots == {}
