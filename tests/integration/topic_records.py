"""Reads the records of topics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from stream_app.contracts.dead_letters import decode_dead_letter
from stream_app.contracts.polls import decode_poll_batch
from stream_app.contracts.topics import DEAD_LETTERS, STORE_STATUS
from stream_app.kafka.clients import connection

if TYPE_CHECKING:
    from stream_app.contracts.dead_letters import DeadLetter
    from stream_app.contracts.topics import TopicSpec
    from stream_app.settings import Settings


async def read_records(settings: Settings, spec: TopicSpec) -> list[Any]:
    """Read all records that a topic has now."""
    consumer = AIOKafkaConsumer(**connection(settings), group_id=None)
    await consumer.start()
    try:
        partitions = [TopicPartition(spec.name, n) for n in range(spec.partitions(settings))]
        consumer.assign(partitions)
        await consumer.seek_to_beginning()
        ends = await consumer.end_offsets(partitions)
        records: list[Any] = []
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for fetched in (await consumer.getmany(timeout_ms=200)).values():
                records += fetched
        return records
    finally:
        await consumer.stop()


async def read_polls(settings: Settings, store_id: str) -> list[tuple[int, bool]]:
    """Read all polls of a store, in the order of their records."""
    batches = [decode_poll_batch(r.value)[0] for r in await read_records(settings, STORE_STATUS)]
    return [poll for batch in batches if batch.store_id == store_id for poll in batch.polls]


async def read_dead_letters(settings: Settings, path: str) -> list[DeadLetter]:
    """Read the dead letters of requests to a path of the API."""
    dead_letters = [decode_dead_letter(r.value) for r in await read_records(settings, DEAD_LETTERS)]
    return [dead_letter for dead_letter in dead_letters if dead_letter.source.get("path") == path]
