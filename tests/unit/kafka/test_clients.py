from __future__ import annotations

import asyncio

import pytest
from aiokafka import TopicPartition, errors
from aiokafka.producer.sender import SendProduceReqHandler
from aiokafka.protocol.produce import ProduceResponse_v5

from stream_app.kafka import clients
from stream_app.kafka.clients import producer, stop
from stream_app.settings import Settings

# -- producers that outlive a lost broker


async def test_a_batch_without_a_leader_waits_instead_of_failing() -> None:
    """A failed batch would leave a gap for ever in the sequence numbers of its partition."""
    client = producer(Settings.from_environment({}, kafka_bootstrap="127.0.0.1:9"))
    accumulator = client._message_accumulator
    batch = accumulator._append_batch(accumulator.create_builder(), TopicPartition("t", 0))

    batch._ctime -= 10 * 24 * 3600

    assert not batch.expired()
    client._closed = True  # it was never started


# all errors of a broker that end without an operator
PASSING = (
    "UnknownError",
    "KafkaStorageError",
    "LeaderNotAvailableError",
    "NotLeaderForPartitionError",
    "NotEnoughReplicasError",
    "NotEnoughReplicasAfterAppendError",
    "RequestTimedOutError",
    "UnknownTopicOrPartitionError",
)


@pytest.mark.parametrize("name", PASSING)
async def test_a_batch_is_sent_again_after_an_error_that_passes(name: str) -> None:
    """A failed batch would use up its sequence number, and no later batch would be accepted."""
    client = producer(Settings.from_environment({}, kafka_bootstrap="127.0.0.1:9"))
    accumulator = client._message_accumulator
    place = TopicPartition("t", 0)
    batch = accumulator._append_batch(accumulator.create_builder(), place)
    handler = SendProduceReqHandler(client._sender, {place: batch})
    answer = (place.partition, getattr(errors, name).errno, -1, -1, -1)

    handler.handle_response(ProduceResponse_v5([(place.topic, [answer])], 0))

    assert handler._to_reenqueue == [batch]
    assert not batch.future.done()
    client._closed = True  # it was never started


class Hanging:
    """A client whose `flush` or `stop` never returns."""

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
async def test_a_client_stops_although_its_broker_is_lost(
    monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr(clients, "CLOSING_SECONDS", 0.01)
    client = Hanging()
    client.hangs = where

    await stop(client, client.flush)

    # aiokafka reports a client that was never stopped on standard error
    assert client.done == ["flush", "stop"]


async def test_gathered_records_are_sent_before_the_client_stops() -> None:
    client = Hanging()

    await stop(client, client.flush)
    await stop(client)

    assert client.done == ["flush", "stop", "stop"]
