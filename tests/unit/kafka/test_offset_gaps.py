"""An inspected range of offsets gives its deleted offsets, and the first offset with a record."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError

from stream_app.errors import BrokerUnavailableError
from stream_app.kafka import offset_gaps as module
from stream_app.kafka.offset_gaps import OffsetGap, OffsetGaps
from tests.agent_fakes import settings_with

if TYPE_CHECKING:
    from collections.abc import Iterable

ONE, TWO = ("store-status", 0), ("store-status", 1)


class Consumer:
    """A consumer of a log without transactions.

    Attributes:
        beginning: the first offset of every partition.
        end: the end offset of every partition.
        records: the offsets that have a record.
        error: raised by the next call.
        hanging: whether the broker never answers.
        sought: the partitions and offsets of all seeks, in order.
    """

    def __init__(self) -> None:
        self.beginning, self.end = 0, 100
        self.records: dict[tuple[str, int], list[int]] = {}
        self.error: Exception | None = None
        self.hanging = False
        self.sought: list[tuple[TopicPartition, int]] = []
        self.positions: dict[TopicPartition, int] = {}
        self.stopped = 0

    def assign(self, partitions: list[TopicPartition]) -> None:
        self.positions = dict.fromkeys(partitions, -1)

    async def beginning_offsets(self, partitions: Iterable[TopicPartition]) -> dict[Any, int]:
        if self.hanging:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error
        return dict.fromkeys(partitions, self.beginning)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        assert self.beginning <= offset <= self.end, "a consumer would be sent elsewhere"
        self.positions[partition] = offset
        self.sought.append((partition, offset))

    async def getmany(
        self, *partitions: TopicPartition, timeout_ms: int, max_records: int
    ) -> dict[TopicPartition, list[Any]]:
        assert timeout_ms
        assert max_records == 1
        await asyncio.sleep(0)
        for partition in partitions:
            offsets = [r for r in self.records.get(partition, []) if r >= self.positions[partition]]
            if offsets:
                self.positions[partition] = offsets[0] + 1
                return {partition: [SimpleNamespace(offset=offsets[0])]}
            # markers and compacted records are stepped over
            self.positions[partition] = self.end
        return {}

    async def position(self, partition: TopicPartition) -> int:
        return self.positions[partition]

    async def start(self) -> None:
        if self.error is not None:
            raise self.error

    async def stop(self) -> None:
        self.stopped += 1


@pytest.fixture
def consumer(monkeypatch: pytest.MonkeyPatch) -> Consumer:
    consumer = Consumer()
    monkeypatch.setattr(module, "safe_consumer", lambda *_, **__: consumer)
    return consumer


@pytest.fixture
async def gaps(consumer: Consumer) -> OffsetGaps:  # noqa: ARG001  the gaps use it
    gaps = OffsetGaps(settings_with())
    await gaps.start()
    return gaps


async def test_a_range_without_a_record_is_empty_to_its_end(gaps: OffsetGaps) -> None:
    assert await gaps.inspect({ONE: (5, 9)}) == {ONE: OffsetGap(lost_end=5, next_offset=9)}


async def test_the_first_record_of_a_range_is_found(gaps: OffsetGaps, consumer: Consumer) -> None:
    consumer.records = {ONE: [2, 7, 8]}

    assert await gaps.inspect({ONE: (5, 9)}) == {ONE: OffsetGap(lost_end=5, next_offset=7)}


async def test_a_record_beyond_the_range_does_not_belong_to_it(
    gaps: OffsetGaps, consumer: Consumer
) -> None:
    consumer.records = {ONE: [12]}

    assert await gaps.inspect({ONE: (5, 9)}) == {ONE: OffsetGap(lost_end=5, next_offset=9)}


async def test_several_ranges_are_inspected_together(gaps: OffsetGaps, consumer: Consumer) -> None:
    consumer.records = {ONE: [7], TWO: [99]}

    assert await gaps.inspect({ONE: (5, 9), TWO: (0, 50)}) == {
        ONE: OffsetGap(5, 7),
        TWO: OffsetGap(0, 50),
    }


async def test_offsets_before_the_beginning_of_the_log_are_lost(
    gaps: OffsetGaps, consumer: Consumer
) -> None:
    consumer.beginning, consumer.records = 7, {ONE: [8]}

    assert await gaps.inspect({ONE: (5, 9)}) == {ONE: OffsetGap(lost_end=7, next_offset=8)}
    assert consumer.sought == [(TopicPartition(*ONE), 7)]


async def test_a_range_before_the_beginning_of_the_log_is_lost_as_a_whole(
    gaps: OffsetGaps, consumer: Consumer
) -> None:
    consumer.beginning, consumer.records = 50, {ONE: [50]}

    assert await gaps.inspect({ONE: (5, 9)}) == {ONE: OffsetGap(lost_end=9, next_offset=9)}


async def test_brokers_that_do_not_answer_are_away(
    gaps: OffsetGaps, consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer.error = KafkaConnectionError("gone")
    with pytest.raises(BrokerUnavailableError):
        await gaps.inspect({ONE: (5, 9)})

    consumer.error, consumer.hanging = None, True
    monkeypatch.setattr(module, "_LOOK_SECONDS", 0)
    with pytest.raises(BrokerUnavailableError, match="did not answer"):
        await gaps.inspect({ONE: (5, 9)})

    consumer.hanging = False
    monkeypatch.undo()
    assert await gaps.inspect({ONE: (5, 9)}) == {ONE: OffsetGap(5, 9)}


async def test_two_inspections_at_once_use_the_connection_one_after_the_other(
    gaps: OffsetGaps, consumer: Consumer
) -> None:
    consumer.records = {ONE: [6], TWO: [8]}

    one, two = await asyncio.gather(gaps.inspect({ONE: (5, 9)}), gaps.inspect({TWO: (5, 9)}))

    assert (one, two) == ({ONE: OffsetGap(5, 6)}, {TWO: OffsetGap(5, 8)})


async def test_a_stop_closes_the_connection(gaps: OffsetGaps, consumer: Consumer) -> None:
    await gaps.stop()
    await OffsetGaps(settings_with()).stop()

    assert consumer.stopped == 1
