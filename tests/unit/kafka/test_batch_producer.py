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
    """Acknowledges one batch per call of `acknowledge`; its log has the records of the bytes."""

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

    def acknowledge(self) -> int:
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
    assert broker.acknowledge() == 2
    assert broker.acknowledge() == 1
    assert await first.sent == BatchMetadata(0, 7000)
    assert await other.sent == BatchMetadata(2, 7000)
    assert broker.log == [("t", 0, b"a", b"1"), ("t", 0, b"b", b"2"), ("t", 1, b"c", b"3")]


async def test_a_record_keeps_its_headers() -> None:
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


async def test_records_that_come_while_a_batch_is_in_flight_gather_in_the_next_one() -> None:
    broker = Broker()
    batches = BatchProducer(broker)
    first = batches.add("t", 0, b"k", b"0")
    await turn()
    later = [batches.add("t", 0, b"k", str(n).encode()) for n in range(1, 10)]
    await turn()
    assert len(broker.waiting) == 1
    broker.acknowledge()
    await turn()
    assert broker.acknowledge() == 9
    await batches.flush()
    assert first.sent.done()
    assert set(later) == {later[0]}
    assert [record[3] for record in broker.log] == [str(n).encode() for n in range(10)]


async def test_a_full_batch_is_followed_by_the_next_one_in_order() -> None:
    broker = Broker(batch_bytes=1000)
    batches = BatchProducer(broker)
    values = [bytes([n]) * 300 for n in range(10)]
    assert len({batches.add("t", 0, b"k", value) for value in values}) > 2
    while not broker.waiting or broker.acknowledge():
        await turn()
        if len(broker.log) == len(values):
            break
    await batches.flush()
    assert [record[3] for record in broker.log] == values


async def test_a_record_larger_than_a_batch_is_sent_alone() -> None:
    broker = Broker(batch_bytes=1000)
    batches = BatchProducer(broker)
    small = batches.add("t", 0, b"k", b"small")
    large = batches.add("t", 0, b"k", b"x" * 5000)
    after = batches.add("t", 0, b"k", b"small")
    assert len({small, large, after}) == 3
    for _ in range(3):
        await turn()
        assert broker.acknowledge() == 1
    await batches.flush()


async def test_a_record_too_large_for_any_topic_is_refused_at_once() -> None:
    batches = BatchProducer(Broker())
    with pytest.raises(MessageSizeTooLargeError):
        batches.add("t", 0, b"k", b"x" * MAX_STATE_BYTES)
    await batches.flush()


async def test_a_failed_batch_fails_for_all_its_records_and_the_next_batch_is_sent() -> None:
    broker = Broker()
    batches = BatchProducer(broker)
    failed = batches.add("t", 0, b"k", b"1")
    await turn()
    batches.add("t", 0, b"k", b"2")
    broker.waiting.pop(0)[3].set_exception(ValueError("no"))
    await turn()
    assert isinstance(failed.sent.exception(), ValueError)
    broker.acknowledge()
    await batches.flush()
    assert [record[3] for record in broker.log] == [b"2"]


async def test_a_full_producer_is_waited_for() -> None:
    broker = Broker()
    broker.full = 3
    batches = BatchProducer(broker)
    batch = batches.add("t", 0, b"k", b"1")
    await turn()
    broker.acknowledge()
    await batches.flush()
    assert batch.sent.done()
    assert broker.full == 0


async def test_a_caller_waits_for_capacity_until_enough_batches_are_acknowledged() -> None:
    broker = Broker(batch_bytes=1000)
    batches = BatchProducer(broker)
    for _ in range(6):
        batches.add("t", 0, b"k", b"x" * 500)
    assert batches.waiting("t", 0) == 3000
    waiting = asyncio.create_task(batches.wait_for_capacity("t", 0, 1000))
    for _ in range(3):
        await turn()
        assert not waiting.done()
        broker.acknowledge()
    await turn()
    while broker.waiting:
        broker.acknowledge()
        await turn()
    await waiting
    await batches.wait_for_capacity("another", 0, 0)
    await batches.flush()
    assert batches.waiting("t", 0) == 0


async def test_with_a_linger_the_batches_of_all_partitions_go_out_together() -> None:
    broker = Broker()
    # a busy machine must reach the next lines before the linger is over
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
    broker.acknowledge()
    broker.acknowledge()
    await batches.flush()


async def test_urgent_records_and_full_batches_do_not_linger() -> None:
    broker = Broker(batch_bytes=1000)
    batches = BatchProducer(broker, linger=60)
    batches.add("t", 0, b"k", b"1")
    batches.add("t", 1, b"k", b"2", at_once=True)
    for _ in range(4):
        batches.add("t", 2, b"k", b"x" * 400)
    await turn()

    assert [partition for _, partition, _, _ in broker.waiting] == [1, 2]
    while broker.waiting:
        broker.acknowledge()
        await turn()
    flushing = asyncio.create_task(batches.flush())
    await turn()
    assert broker.acknowledge() == 1
    await flushing


async def test_an_urgent_record_is_sent_with_the_lingering_records_of_its_partition() -> None:
    broker = Broker()
    batches = BatchProducer(broker, linger=60)
    lingering = batches.add("t", 0, b"k", b"running")
    await turn()
    urgent = batches.add("t", 0, b"k", b"complete", at_once=True)
    await turn()

    assert urgent is lingering
    assert broker.acknowledge() == 2
    await batches.flush()
