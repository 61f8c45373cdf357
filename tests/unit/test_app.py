"""The composition root's own piece of Kafka: where a worker reads on after a rebalance."""

from __future__ import annotations

from faust.types import TP

from stream_app.app import rewind
from stream_app.contracts.topics import CONSUMED_TOPICS


class Consumer:
    """Remembers where it was sent."""

    def __init__(self) -> None:
        self.positions: dict[TP, int] = {}

    async def seek(self, partition: TP, offset: int) -> None:
        self.positions[partition] = offset


async def test_a_partition_without_a_committed_offset_is_read_from_its_beginning() -> None:
    """Faust alone stays behind what it has fetched and thrown away: those records were lost."""
    offsets = {(spec.name, 0): number for number, spec in enumerate(CONSUMED_TOPICS)}
    consumer = Consumer()

    await rewind(consumer, offsets)

    assert consumer.positions == {TP(topic, 0): offset for (topic, _), offset in offsets.items()}
    assert 0 in consumer.positions.values()
