"""A network between a client and the broker that can be cut: a proxy that Kafka itself names."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final, Literal

from stream_app.authority import LOOPBACK
from stream_app.local.kafka import node as node_module
from stream_app.local.kafka.node_config import server_properties
from stream_app.local.kafka.password import accepting
from stream_app.local.processes.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest

    from stream_app.local.kafka.cluster_file import NodeAddress

Cut = Literal["refused", "silent"]

_CHUNK: Final = 65_536


class Network:
    """Passes bytes on between `address` and the broker's second listener, until it is cut.

    Attributes:
        address: HOST:PORT for the clients behind it.
    """

    def __init__(self, port: int, broker_port: int) -> None:
        self.address = f"{LOOPBACK}:{port}"
        self._port = port
        self._broker_port = broker_port
        self._server: asyncio.Server | None = None
        self._open = asyncio.Event()
        self._open.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._connection, LOOPBACK, self._port)

    async def cut(self, how: Cut) -> None:
        """Refuse everybody, or keep all connections open and let nothing through.

        What was sent before a silent cut arrives when it is mended, as it does on a real line.
        """
        if how == "silent":
            self._open.clear()
        else:
            await self.stop()

    async def mend(self) -> None:
        """Let everything through again."""
        self._open.set()
        if self._server is None:
            await self.start()

    async def stop(self) -> None:
        """Close everything."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._writers:
            writer.transport.abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            await self._open.wait()
            there_reader, there = await asyncio.open_connection(LOOPBACK, self._broker_port)
            self._writers.add(there)
            ways = (self._pass_on(reader, there), self._pass_on(there_reader, writer))
            with suppress(OSError, asyncio.CancelledError):
                await asyncio.gather(*ways)
            self._writers.discard(there)
            there.transport.abort()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            self._tasks.discard(task)
            writer.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(_CHUNK):
            await self._open.wait()
            writer.write(chunk)
            await writer.drain()
        writer.transport.abort()


@asynccontextmanager
async def second_network(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Network]:
    """Give the broker that is started next a second listener, which is reached through it."""
    port, broker_port = free_ports(2)

    def properties(
        address: NodeAddress, nodes: list[NodeAddress], password: str | None = None
    ) -> str:
        text = server_properties(address, nodes, password)
        lines = dict(line.split("=", 1) for line in text.splitlines())
        lines["listeners"] += f",BEHIND://{LOOPBACK}:{broker_port}"
        lines["advertised.listeners"] += f",BEHIND://{LOOPBACK}:{port}"
        protocol = "SASL_PLAINTEXT" if password else "PLAINTEXT"
        lines["listener.security.protocol.map"] += f",BEHIND:{protocol}"
        if password:
            lines["listener.name.behind.plain.sasl.jaas.config"] = accepting(password)
        return "".join(f"{name}={value}\n" for name, value in lines.items())

    monkeypatch.setattr(node_module, "server_properties", properties)
    network = Network(port, broker_port)
    await network.start()
    try:
        yield network
    finally:
        await network.stop()
