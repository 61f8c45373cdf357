"""A partition counts as silent when it acknowledges nothing for too long."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka.errors import KafkaError

from api.http.memory_budget import MemoryBudget
from api.kafka.publisher import ANSWER_SECONDS, BoundedPublisher, acknowledged_at
from stream_app.contracts.partitioning import partition_of
from stream_app.contracts.topics import DEAD_LETTERS, STORE_STATUS, TopicSpec
from stream_app.errors import BrokerUnavailableError, OverloadedError
from stream_app.kafka.batch_producer import BatchMetadata
from tests.fakes import SETTINGS

KEY = b"k"
ACKNOWLEDGED = BatchMetadata(3, 77)


class Bench:
    """A broker that acknowledges one record after the other, as the test says, and a clock."""

    def __init__(self, limit: int = 1 << 20) -> None:
        self.time = 0.0
        self.shared = self.lost = False
        self.answers: list[asyncio.Future[BatchMetadata]] = []
        self.budget = MemoryBudget(limit)
        self.publisher = BoundedPublisher(self.send, self.budget, SETTINGS, lambda: self.time)

    def send(
        self, _: TopicSpec, __: int, ___: bytes, ____: bytes | None
    ) -> asyncio.Future[BatchMetadata]:
        if self.lost:
            raise BrokerUnavailableError("lost")
        if not self.shared or not self.answers:
            self.answers.append(asyncio.get_running_loop().create_future())
        return self.answers[-1]

    def send_many(self, count: int = 1) -> list[asyncio.Future[BatchMetadata]]:
        return [self.publisher.send(DEAD_LETTERS, KEY, b"v") for _ in range(count)]

    def silent(self, topic: TopicSpec = DEAD_LETTERS) -> bool:
        try:
            self.publisher.require_acknowledgements(topic, KEY)
        except BrokerUnavailableError:
            return True
        return False


async def test_a_partition_without_records_in_flight_is_not_silent() -> None:
    bench = Bench()
    bench.time = 1000
    assert not bench.silent()
    (sent,) = bench.send_many()
    bench.answers[0].set_result(ACKNOWLEDGED)
    assert await acknowledged_at(sent) == 77
    await asyncio.sleep(0)
    bench.time = 2000
    assert not bench.silent()
    assert bench.budget.used == 0


async def test_a_partition_that_acknowledges_nothing_for_too_long_accepts_no_more() -> None:
    bench = Bench()
    bench.send_many()
    bench.time = ANSWER_SECONDS
    assert not bench.silent()
    bench.time += 0.1
    assert bench.silent()
    assert not bench.silent(STORE_STATUS)
    with pytest.raises(BrokerUnavailableError, match="has not acknowledged"):
        bench.publisher.send(DEAD_LETTERS, KEY, b"v")
    bench.answers[0].set_result(ACKNOWLEDGED)
    await bench.publisher.drain(60)
    assert not bench.silent()


async def test_a_slow_partition_is_not_silent() -> None:
    bench = Bench()
    bench.send_many(10)
    for number in range(9):
        bench.time += ANSWER_SECONDS - 0.1
        assert not bench.silent()
        bench.answers[number].set_result(ACKNOWLEDGED)
        await asyncio.sleep(0)
    bench.time += ANSWER_SECONDS + 0.1
    assert bench.silent()
    bench.answers[9].set_exception(BrokerUnavailableError("away"))
    await bench.publisher.drain(60)
    await asyncio.sleep(0)
    assert not bench.silent(), "a failed record holds up no other"
    assert bench.budget.used == 0


async def test_a_full_budget_accepts_no_more() -> None:
    bench = Bench(limit=1000)
    bench.send_many()
    with pytest.raises(OverloadedError):
        bench.publisher.send(DEAD_LETTERS, KEY, b"v")
    bench.answers[0].set_result(ACKNOWLEDGED)
    await bench.publisher.drain(60)
    bench.send_many()


async def test_the_memory_of_a_batch_is_released_together() -> None:
    bench = Bench(limit=2000)
    bench.shared = True
    first, second, third = bench.send_many(3)
    assert first is second is third
    used = bench.budget.used
    assert used > 3 * len(KEY)
    bench.answers[0].set_result(ACKNOWLEDGED)
    await bench.publisher.drain(60)
    await asyncio.sleep(0)
    assert bench.budget.used == 0


async def test_a_record_that_cannot_be_sent_holds_no_memory() -> None:
    bench = Bench()
    bench.lost = True
    with pytest.raises(BrokerUnavailableError):
        bench.send_many()
    assert bench.budget.used == 0
    assert not bench.silent()


@pytest.mark.parametrize("end", ["failed", "cancelled"])
async def test_a_record_that_never_arrives_is_an_error(end: str) -> None:
    bench = Bench()
    (sent,) = bench.send_many()
    if end == "failed":
        bench.answers[0].set_exception(KafkaError("no"))
    else:
        bench.answers[0].cancel()
    with pytest.raises(BrokerUnavailableError):
        await acknowledged_at(sent)


async def test_a_task_that_stops_waiting_does_not_cancel_the_others() -> None:
    bench = Bench()
    bench.shared = True
    first, second = bench.send_many(2)
    waiting = asyncio.create_task(acknowledged_at(first))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    bench.answers[0].set_result(ACKNOWLEDGED)
    assert await acknowledged_at(second) == 77


async def test_one_silent_partition_among_those_of_many_keys_is_enough() -> None:
    bench = Bench()
    bench.publisher.send(STORE_STATUS, KEY, b"v")
    other = next(
        key
        for key in (b"%d" % number for number in range(100))
        if partition_of(key, SETTINGS.partitions) != partition_of(KEY, SETTINGS.partitions)
    )
    bench.time = ANSWER_SECONDS + 1

    bench.publisher.require_all_acknowledgements(STORE_STATUS, [other])
    with pytest.raises(BrokerUnavailableError, match="has not acknowledged"):
        bench.publisher.require_all_acknowledgements(STORE_STATUS, [other, KEY])
