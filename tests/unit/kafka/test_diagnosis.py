"""Why a broker cannot be used, where no Kafka is needed to see it: the rest is in integration."""

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
        named: host and port that it calls its own.
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
    said = settings(*addresses)
    return await why_unusable(said, connection(said))


async def test_a_broker_that_can_be_used_has_no_reason() -> None:
    broker = Broker()
    async with listening(broker) as port:
        broker.named = ("127.0.0.1", port)
        assert await why(f"127.0.0.1:{port}") is None
        (free,) = free_ports(1)
        assert await why(f"127.0.0.1:{free}", f"127.0.0.1:{port}") is None


async def test_a_broker_that_calls_itself_by_an_address_that_nobody_reaches() -> None:
    """As one in a container does, whose advertised.listeners name the container."""
    (free,) = free_ports(1)
    async with listening(Broker(("127.0.0.1", free))) as port:
        found = await why(f"127.0.0.1:{port}")
    assert found is not None
    assert not found.unreachable
    assert f"says that clients reach it at 127.0.0.1:{free}, and that cannot be used" in found.text
    assert "advertised.listeners" in found.text


async def test_a_broker_that_names_another_address_that_answers() -> None:
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
async def test_nobody_there(address: str, words: str) -> None:
    found = await why(address)
    assert found is not None
    assert found.unreachable
    assert found.text.startswith(f"no Kafka broker answers at {address} (")
    assert words in found.text
    assert "STORE_UPTIME_KAFKA_BOOTSTRAP" in found.text


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
