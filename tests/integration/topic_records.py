"""What stands in the topics, as tests look at it."""

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


async def records_of(settings: Settings, spec: TopicSpec) -> list[Any]:
    """All records that a topic holds now."""
    consumer = AIOKafkaConsumer(**connection(settings), group_id=None)
    await consumer.start()
    try:
        partitions = [TopicPartition(spec.name, n) for n in range(spec.partitions(settings))]
        consumer.assign(partitions)
        await consumer.seek_to_beginning()
        ends = await consumer.end_offsets(partitions)
        found: list[Any] = []
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found += records
        return found
    finally:
        await consumer.stop()


async def polls_of(settings: Settings, store_id: str) -> list[tuple[int, bool]]:
    """All polls of a store, record by record."""
    batches = [decode_poll_batch(r.value)[0] for r in await records_of(settings, STORE_STATUS)]
    return [poll for batch in batches if batch.store_id == store_id for poll in batch.polls]


async def dead_letters(settings: Settings, path: str) -> list[DeadLetter]:
    """The dead letters of what was sent to a path of the API."""
    letters = [decode_dead_letter(r.value) for r in await records_of(settings, DEAD_LETTERS)]
    return [letter for letter in letters if letter.source.get("path") == path]
