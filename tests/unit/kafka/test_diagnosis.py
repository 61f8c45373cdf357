"""A client names the reason why it cannot use a broker; a real Kafka is in tests/integration."""

from __future__ import annotations

import asyncio
import struct
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from stream_app.errors import BrokerUnavailableError
from stream_app.kafka import clients
from stream_app.kafka import diagnosis as module
from stream_app.kafka.clients import connection, start
from stream_app.kafka.diagnosis import why_unusable
from stream_app.local.processes.ports import free_ports
from stream_app.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

API_VERSIONS, METADATA = 18, 3


class Broker:
    """Answers the two questions that a client asks first.

    Args:
        named: the host and port that it advertises.
    """

    def __init__(self, named: tuple[str, int] | None = None) -> None:
        self.named = named

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                (size,) = struct.unpack(">i", await reader.readexactly(4))
                key, _, number = struct.unpack(">hhi", (await reader.readexactly(size))[:8])
                answer = struct.pack(">i", number) + self._answer(key)
                writer.write(struct.pack(">i", len(answer)) + answer)
        except (EOFError, OSError):
            writer.close()

    def _answer(self, key: int) -> bytes:
        if key == API_VERSIONS:
            # no error, two kinds of request in version 0
            return struct.pack(">hi", 0, 2) + struct.pack(">hhhhhh", 18, 0, 0, 3, 0, 0)
        host, port = self.named or ("", 0)
        name = host.encode()
        broker = struct.pack(">ih", 1, len(name)) + name + struct.pack(">i", port)
        return struct.pack(">i", 1) + broker + struct.pack(">i", 0)


@asynccontextmanager
async def listening(broker: Broker) -> AsyncIterator[int]:
    server = await asyncio.start_server(broker.talk, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def settings(*addresses: str) -> Settings:
    return Settings.from_environment({}, kafka_bootstrap=",".join(addresses))


async def why(*addresses: str) -> module.Unusable | None:
    client_settings = settings(*addresses)
    return await why_unusable(client_settings, connection(client_settings))


async def test_a_broker_that_can_be_used_has_no_reason() -> None:
    broker = Broker()
    async with listening(broker) as port:
        broker.named = ("127.0.0.1", port)
        assert await why(f"127.0.0.1:{port}") is None
        (free,) = free_ports(1)
        assert await why(f"127.0.0.1:{free}", f"127.0.0.1:{port}") is None


async def test_a_broker_that_advertises_an_address_that_nobody_reaches_is_the_reason() -> None:
    """A broker in a container does so when its advertised.listeners name the container."""
    (free,) = free_ports(1)
    async with listening(Broker(("127.0.0.1", free))) as port:
        diagnosis = await why(f"127.0.0.1:{port}")
    assert diagnosis is not None
    assert not diagnosis.unreachable
    assert (
        f"says that clients reach it at 127.0.0.1:{free}, and that cannot be used" in diagnosis.text
    )
    assert "advertised.listeners" in diagnosis.text


async def test_a_broker_may_advertise_another_address_that_answers() -> None:
    async with listening(Broker()) as other, listening(Broker(("127.0.0.1", other))) as port:
        assert await why(f"127.0.0.1:{port}") is None


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("127.0.0.1:1", "(127.0.0.1:1: Connection refused)"),
        ("no-such-host.invalid:9092", "(the name no-such-host.invalid is not known)"),
        ("a..b:9092", "('a..b' is no name of a machine)"),
        ("[::1]:1", "(::1:1: "),
    ],
)
async def test_an_address_without_a_broker_is_the_reason(address: str, words: str) -> None:
    diagnosis = await why(address)
    assert diagnosis is not None
    assert diagnosis.unreachable
    assert diagnosis.text.startswith(f"no Kafka broker answers at {address} (")
    assert words in diagnosis.text
    assert "STORE_UPTIME_KAFKA_BOOTSTRAP" in diagnosis.text


async def test_a_client_that_cannot_start_gives_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Silent:
        stopped = False

        async def start(self) -> None:
            await asyncio.Event().wait()

        async def stop(self) -> None:
            self.stopped = True

    monkeypatch.setattr(clients, "STARTING_SECONDS", 0.01)
    client: Any = Silent()
    with pytest.raises(BrokerUnavailableError, match=r"no Kafka broker answers at 127\.0\.0\.1:1"):
        await start(client, settings("127.0.0.1:1"))
    assert client.stopped
