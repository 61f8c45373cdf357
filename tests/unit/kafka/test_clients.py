from __future__ import annotations

import asyncio

import pytest
from aiokafka import TopicPartition

from stream_app.kafka import clients
from stream_app.kafka.clients import producer, stop
from stream_app.settings import Settings

# -- producers that outlive a lost broker


async def test_a_batch_without_a_leader_waits_instead_of_failing() -> None:
    """One that failed would leave a gap in the numbers of its partition, for ever."""
    client = producer(Settings.from_environment({}, kafka_bootstrap="127.0.0.1:9"))
    accumulator = client._message_accumulator
    batch = accumulator._append_batch(accumulator.create_builder(), TopicPartition("t", 0))

    batch._ctime -= 10 * 24 * 3600

    assert not batch.expired()
    client._closed = True  # it was never started


class Hanging:
    """Does not end by itself."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.hangs = ""

    async def flush(self) -> None:
        await self._do("flush")

    async def stop(self) -> None:
        await self._do("stop")

    async def _do(self, what: str) -> None:
        self.done.append(what)
        if self.hangs == what:
            await asyncio.Event().wait()


@pytest.mark.parametrize("where", ["flush", "stop"])
async def test_a_lost_broker_holds_up_no_stop(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    monkeypatch.setattr(clients, "CLOSING_SECONDS", 0.01)
    client = Hanging()
    client.hangs = where

    await stop(client, client.flush)


async def test_what_was_gathered_goes_out_before_the_client_stops() -> None:
    client = Hanging()

    await stop(client, client.flush)
    await stop(client)

    assert client.done == ["flush", "stop", "stop"]
