import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaTimeoutError, MessageSizeTooLargeError
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import DefaultRecordBatch

from stream_app.contracts.topics import MAX_STATE_BYTES
from stream_app.kafka.batch_producer import BatchMetadata, BatchProducer


class Broker:
    """Takes batches one by one when told to; what it holds is what the built bytes say."""

    def __init__(self, batch_bytes: int = 1000) -> None:
        self.batch_bytes = batch_bytes
        self.log: list[Any] = []
        self.waiting: list[Any] = []
        self.full = 0

    def create_batch(self) -> BatchBuilder:
        return BatchBuilder(self.batch_bytes, 0)

    async def send_batch(self, batch: Any, topic: str, *, partition: int) -> Any:
        if self.full:
            self.full -= 1
            raise KafkaTimeoutError
        sent = asyncio.get_running_loop().create_future()
        self.waiting.append((topic, partition, batch, sent))
        return sent

    def take(self) -> int:
        topic, partition, batch, sent = self.waiting.pop(0)
        records = [
            (topic, partition, record.key, record.value)
            for record in DefaultRecordBatch(bytes(batch._build()))
        ]
        offset = len(self.log)
        self.log += records
        sent.set_result(SimpleNamespace(offset=offset, timestamp=7))
        return len(records)


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_records_of_one_turn_share_a_batch_and_a_future() -> None:
    broker = Broker()
    batches = BatchProducer(broker)
    first = batches.add("t", 0, b"a", b"1")
    second = batches.add("t", 0, b"b", b"2")
    other = batches.add("t", 1, b"c", b"3")
    assert first is second
    assert other is not first
    await turn()
    assert broker.take() == 2
    assert broker.take() == 1
    assert await first.sent == BatchMetadata(0, 7000)
    assert await other.sent == BatchMetadata(2, 7000)
    assert broker.log == [("t", 0, b"a", b"1"), ("t", 0, b"b", b"2"), ("t", 1, b"c", b"3")]


async def test_a_record_takes_its_headers_along() -> None:
    broker = Broker()
    batches = BatchProducer(broker)
    batches.add("t", 0, b"a", b"1", headers=(("origin", b"there"),))
    batches.add("t", 0, b"b", b"2")
    await turn()
    ((_, _, batch, _),) = broker.waiting
    assert [record.headers for record in DefaultRecordBatch(bytes(batch._build()))] == [
        [("origin", b"there")],
        [],
    ]


async def test_what_comes_while_a_batch_is_on_its_way_gathers_in_the_next() -> None:
    broker = Broker()
    batches = BatchProducer(broker)
    first = batches.add("t", 0, b"k", b"0")
    await turn()
    later = [batches.add("t", 0, b"k", str(n).encode()) for n in range(1, 10)]
    await turn()
    assert len(broker.waiting) == 1
    broker.take()
    await turn()
    assert broker.take() == 9
    await batches.flush()
    assert first.sent.done()
    assert set(later) == {later[0]}
    assert [record[3] for record in broker.log] == [str(n).encode() for n in range(10)]


async def test_a_full_batch_is_followed_by_the_next_one_in_order() -> None:
    broker = Broker(batch_bytes=1000)
    batches = BatchProducer(broker)
    values = [bytes([n]) * 300 for n in range(10)]
    assert len({batches.add("t", 0, b"k", value) for value in values}) > 2
    while not broker.waiting or broker.take():
        await turn()
        if len(broker.log) == len(values):
            break
    await batches.flush()
    assert [record[3] for record in broker.log] == values


async def test_a_record_larger_than_a_batch_goes_alone() -> None:
    broker = Broker(batch_bytes=1000)
    batches = BatchProducer(broker)
    small = batches.add("t", 0, b"k", b"small")
    large = batches.add("t", 0, b"k", b"x" * 5000)
    after = batches.add("t", 0, b"k", b"small")
    assert len({small, large, after}) == 3
    for _ in range(3):
        await turn()
        assert broker.take() == 1
    await batches.flush()


async def test_what_no_topic_takes_is_refused_at_once() -> None:
    batches = BatchProducer(Broker())
    with pytest.raises(MessageSizeTooLargeError):
        batches.add("t", 0, b"k", b"x" * MAX_STATE_BYTES)
    await batches.flush()


async def test_a_batch_that_fails_fails_for_all_and_the_next_goes_on() -> None:
    broker = Broker()
    batches = BatchProducer(broker)
    failed = batches.add("t", 0, b"k", b"1")
    await turn()
    batches.add("t", 0, b"k", b"2")
    broker.waiting.pop(0)[3].set_exception(ValueError("no"))
    await turn()
    assert isinstance(failed.sent.exception(), ValueError)
    broker.take()
    await batches.flush()
    assert [record[3] for record in broker.log] == [b"2"]


async def test_a_full_producer_is_waited_for() -> None:
    broker = Broker()
    broker.full = 3
    batches = BatchProducer(broker)
    batch = batches.add("t", 0, b"k", b"1")
    await turn()
    broker.take()
    await batches.flush()
    assert batch.sent.done()
    assert broker.full == 0


async def test_room_waits_until_the_broker_has_taken_enough() -> None:
    broker = Broker(batch_bytes=1000)
    batches = BatchProducer(broker)
    for _ in range(6):
        batches.add("t", 0, b"k", b"x" * 500)
    assert batches.waiting("t", 0) == 3000
    room = asyncio.create_task(batches.wait_for_capacity("t", 0, 1000))
    for _ in range(3):
        await turn()
        assert not room.done()
        broker.take()
    await turn()
    while broker.waiting:
        broker.take()
        await turn()
    await room
    await batches.wait_for_capacity("another", 0, 0)
    await batches.flush()
    assert batches.waiting("t", 0) == 0


async def test_with_a_linger_the_batches_of_all_partitions_go_out_together() -> None:
    broker = Broker()
    # long enough for a busy machine to come to the next lines before it is over
    batches = BatchProducer(broker, linger=0.5)
    batches.add("t", 0, b"k", b"1")
    await turn()
    batches.add("t", 1, b"k", b"2")
    batches.add("t", 0, b"k", b"3")
    await turn()
    assert broker.waiting == []

    while not broker.waiting:  # noqa: ASYNC110  the timer
        await asyncio.sleep(0.001)
    assert [(partition, batch.record_count()) for _, partition, batch, _ in broker.waiting] == [
        (0, 2),
        (1, 1),
    ]
    broker.take()
    broker.take()
    await batches.flush()


async def test_what_is_urgent_or_full_does_not_linger() -> None:
    broker = Broker(batch_bytes=1000)
    batches = BatchProducer(broker, linger=60)
    batches.add("t", 0, b"k", b"1")
    batches.add("t", 1, b"k", b"2", at_once=True)
    for _ in range(4):
        batches.add("t", 2, b"k", b"x" * 400)
    await turn()

    assert [partition for _, partition, _, _ in broker.waiting] == [1, 2]
    while broker.waiting:
        broker.take()
        await turn()
    flushing = asyncio.create_task(batches.flush())
    await turn()
    assert broker.take() == 1
    await flushing


async def test_what_is_urgent_goes_together_with_what_lingers_in_its_partition() -> None:
    broker = Broker()
    batches = BatchProducer(broker, linger=60)
    lingering = batches.add("t", 0, b"k", b"running")
    await turn()
    urgent = batches.add("t", 0, b"k", b"complete", at_once=True)
    await turn()

    assert urgent is lingering
    assert broker.take() == 2
    await batches.flush()
