"""A proxy between a client and the broker that can be cut; the broker advertises its address."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final, Literal

from stream_app.authority import LOOPBACK
from stream_app.local.kafka import node as node_module
from stream_app.local.kafka.node_config import server_properties
from stream_app.local.kafka.password import listener_jaas_config
from stream_app.local.processes.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest

    from stream_app.local.kafka.cluster_file import NodeAddress

Cut = Literal["refused", "silent"]

_CHUNK: Final = 65_536


class Network:
    """Forwards bytes between `address` and the broker's second listener until it is cut.

    Attributes:
        address: HOST:PORT, to which clients connect.
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
        """Listen on the port."""
        self._server = await asyncio.start_server(self._connection, LOOPBACK, self._port)

    async def cut(self, how: Cut) -> None:
        """Refuse all connections, or keep them open and forward nothing.

        Bytes that were sent before a silent cut arrive after `mend`, as on a real network.
        """
        if how == "silent":
            self._open.clear()
        else:
            await self.stop()

    async def mend(self) -> None:
        """Forward everything again."""
        self._open.set()
        if self._server is None:
            await self.start()

    async def stop(self) -> None:
        """Close the port and all connections."""
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
            broker_reader, broker_writer = await asyncio.open_connection(
                LOOPBACK, self._broker_port
            )
            self._writers.add(broker_writer)
            directions = (
                self._forward(reader, broker_writer),
                self._forward(broker_reader, writer),
            )
            with suppress(OSError, asyncio.CancelledError):
                await asyncio.gather(*directions)
            self._writers.discard(broker_writer)
            broker_writer.transport.abort()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            self._tasks.discard(task)
            writer.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(_CHUNK):
            await self._open.wait()
            writer.write(chunk)
            await writer.drain()
        writer.transport.abort()


@asynccontextmanager
async def second_network(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Network]:
    """Give the broker that is started next a second listener, and a network in front of it."""
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
            lines["listener.name.behind.plain.sasl.jaas.config"] = listener_jaas_config(password)
        return "".join(f"{name}={value}\n" for name, value in lines.items())

    monkeypatch.setattr(node_module, "server_properties", properties)
    network = Network(port, broker_port)
    await network.start()
    try:
        yield network
    finally:
        await network.stop()
