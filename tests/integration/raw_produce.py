"""Batches made by hand, sent to a real broker as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiokafka import AIOKafkaProducer

from stream_app.kafka.clients import connection

if TYPE_CHECKING:
    from stream_app.settings import Settings


async def send_raw(settings: Settings, topic: str, partition: int, data: bytes) -> int:
    """The offset that the broker gave to the first record of a batch.

    Raises:
        KafkaError: the broker refused it.
    """
    async with AIOKafkaProducer(
        **connection(settings), acks="all", enable_idempotence=False
    ) as producer:
        batch = producer.create_batch()
        batch.append(key=b"k", value=b"v", timestamp=None)
        batch._build = lambda: data
        sent = await producer.send_batch(batch, topic, partition=partition)
        return int((await sent).offset)
