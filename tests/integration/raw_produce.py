"""Sends batches that a test has made byte by byte to a real broker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiokafka import AIOKafkaProducer

from stream_app.kafka.clients import connection

if TYPE_CHECKING:
    from stream_app.settings import Settings


async def send_raw(settings: Settings, topic: str, partition: int, data: bytes) -> int:
    """Send the bytes of a batch, and return the offset of its first record.

    Raises:
        KafkaError: the broker refused the batch.
    """
    async with AIOKafkaProducer(
        **connection(settings), acks="all", enable_idempotence=False
    ) as producer:
        batch = producer.create_batch()
        batch.append(key=b"k", value=b"v", timestamp=None)
        batch._build = lambda: data
        sent = await producer.send_batch(batch, topic, partition=partition)
        return int((await sent).offset)
