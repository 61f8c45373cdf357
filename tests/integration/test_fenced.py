"""A writer whose partition another one has claimed is fenced: it can write no more."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import ProducerFenced

from stream_app.kafka.clients import connection
from stream_app.kafka.fenced_producer import FencedProducer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from stream_app.settings import Settings

pytestmark = pytest.mark.kafka


@pytest.fixture
async def topic(kafka_broker: Settings) -> str:
    name = f"changelog-{uuid.uuid4()}"
    admin = AIOKafkaAdminClient(**connection(kafka_broker))
    await admin.start()
    await admin.create_topics([NewTopic(name, num_partitions=2, replication_factor=1)])
    await admin.close()
    return name


@pytest.fixture
async def writer(
    kafka_broker: Settings, topic: str
) -> AsyncIterator[Callable[[], Awaitable[FencedProducer]]]:
    started: list[FencedProducer] = []

    async def start() -> FencedProducer:
        producer = FencedProducer(kafka_broker, topic, linger_ms=5)
        await producer.start()
        started.append(producer)
        return producer

    yield start
    for producer in started:
        await producer.stop()


async def read_values(settings: Settings, topic: str, partition: int = 0) -> list[Any]:
    tp = TopicPartition(topic, partition)
    async with AIOKafkaConsumer(**connection(settings), auto_offset_reset="earliest") as consumer:
        consumer.assign([tp])
        end = (await consumer.end_offsets([tp]))[tp]
        values = []
        while await consumer.position(tp) < end:
            values += [r.value for r in (await consumer.getmany(timeout_ms=200)).get(tp, [])]
    # there is no transaction marker: a restore of the changelog would wait at it for ever
    assert len(values) == end
    return values


async def send(producer: FencedProducer, value: bytes, partition: int = 0) -> int:
    return (await producer.add(partition, b"key", value).sent).first_offset


async def test_the_former_owner_is_fenced_for_good(
    kafka_broker: Settings, topic: str, writer: Callable[[], Awaitable[FencedProducer]]
) -> None:
    paused, owner = await writer(), await writer()
    await paused.claim([0, 1])
    await send(paused, b"old")

    await owner.claim([0])
    await send(owner, b"claim")
    for _ in range(2):
        with pytest.raises(ProducerFenced):
            await send(paused, b"older than what the owner wrote")
    await send(owner, b"new")

    assert await read_values(kafka_broker, topic) == [b"old", b"claim", b"new"]
    # it is fenced on that partition alone
    await send(paused, b"still mine", 1)
    assert await read_values(kafka_broker, topic, 1) == [b"still mine"]


async def test_a_claim_goes_back_and_forth_and_may_be_repeated(
    kafka_broker: Settings, topic: str, writer: Callable[[], Awaitable[FencedProducer]]
) -> None:
    one, other = await writer(), await writer()
    expected = []
    for turn in range(3):
        for number, producer in enumerate((one, one, other)):
            await producer.claim([0])
            value = f"{turn} {number}".encode()
            await send(producer, value)
            await send(producer, value)
            expected += [value, value]

    assert await read_values(kafka_broker, topic) == expected


async def test_batches_in_flight_are_not_fenced_by_their_own_writers_next_claim(
    kafka_broker: Settings, topic: str, writer: Callable[[], Awaitable[FencedProducer]]
) -> None:
    producer = await writer()
    await producer.claim([0])
    batches = {producer.add(0, b"key", str(n).encode()) for n in range(500)}

    await producer.claim([0])
    assert all(batch.sent.done() for batch in batches)
    await send(producer, b"after")

    assert await read_values(kafka_broker, topic) == [
        *(str(n).encode() for n in range(500)),
        b"after",
    ]
