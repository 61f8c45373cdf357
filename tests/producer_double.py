"""A producer of Kafka that takes batches and acknowledges them when a test says so."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Final

from aiokafka.errors import KafkaTimeoutError
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import DefaultRecordBatch

BATCH_BYTES: Final = 1000
"""Bytes of one batch."""


@dataclass(frozen=True, slots=True)
class SentBatch:
    """A batch that was handed over, with the records that its bytes hold."""

    topic: str
    partition: int
    records: list[tuple[bytes, bytes]]
    future: asyncio.Future[Any]

    def acknowledge(self, timestamp: int = 0) -> None:
        """Say that the broker has it, since a time in ms."""
        self.future.set_result(SimpleNamespace(offset=0, timestamp=timestamp))


class ProducerDouble:
    """Stands in for AIOKafkaProducer.

    Attributes:
        batches: what was handed over.
        full: how many times the buffer takes no batch.
        received: set once a batch was handed over.
    """

    def __init__(self) -> None:
        self.batches: list[SentBatch] = []
        self.full = 0
        self.received = asyncio.Event()
        self.stopped = False

    @property
    def sent(self) -> list[tuple[str, bytes, bytes]]:
        """Return topic, key and value of all records."""
        return [(batch.topic, key, value) for batch in self.batches for key, value in batch.records]

    async def start(self) -> None:
        """Do nothing: a double needs no connection."""

    async def stop(self) -> None:
        """Note that it was stopped."""
        self.stopped = True

    def create_batch(self) -> BatchBuilder:
        """Return an empty batch."""
        return BatchBuilder(BATCH_BYTES, 0)

    async def send_batch(self, builder: Any, topic: str, *, partition: int) -> asyncio.Future[Any]:
        """Take a batch, or raise an error while the buffer is full."""
        if self.full:
            self.full -= 1
            await asyncio.sleep(0.01)
            raise KafkaTimeoutError
        records = [
            (record.key, record.value) for record in DefaultRecordBatch(bytes(builder._build()))
        ]
        future = asyncio.get_running_loop().create_future()
        batch = SentBatch(topic, partition, records, future)
        self.batches.append(batch)
        self.received.set()
        self.on_batch(batch)
        return future

    def on_batch(self, batch: SentBatch) -> None:
        """Do nothing; a subclass may acknowledge the batch."""
