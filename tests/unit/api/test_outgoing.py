"""When a partition counts as silent."""

from __future__ import annotations

import asyncio

import pytest

from api.budget import Budget
from api.outgoing import ANSWER_SECONDS, Outgoing
from stream_app.contracts.topics import DEAD_LETTERS, STORE_STATUS, TopicSpec
from stream_app.errors import BrokerUnavailableError, OverloadedError
from tests.fakes import SETTINGS

KEY = b"k"


class Bench:
    """A broker that acknowledges one record after the other, as the test says, and a clock."""

    def __init__(self, limit: int = 1 << 20) -> None:
        self.time = 0.0
        self.answers: list[asyncio.Future[int]] = []
        self.budget = Budget(limit)
        self.outgoing = Outgoing(self.send, self.budget, SETTINGS, lambda: self.time)

    async def send(self, _: TopicSpec, __: int, ___: bytes, ____: bytes) -> int:
        self.answers.append(asyncio.get_running_loop().create_future())
        return await self.answers[-1]

    async def start(self, count: int = 1) -> list[asyncio.Future[int]]:
        sent = [self.outgoing.start(DEAD_LETTERS, KEY, b"v") for _ in range(count)]
        await asyncio.sleep(0)
        return sent

    def silent(self, topic: TopicSpec = DEAD_LETTERS) -> bool:
        try:
            self.outgoing.check(topic, KEY)
        except BrokerUnavailableError:
            return True
        return False


async def test_nothing_under_way_is_no_silence() -> None:
    bench = Bench()
    bench.time = 1000
    assert not bench.silent()
    (sent,) = await bench.start()
    bench.answers[0].set_result(1)
    assert await sent == 1
    bench.time = 2000
    assert not bench.silent()
    assert bench.budget.used == 0


async def test_a_partition_that_acknowledges_nothing_for_too_long_takes_no_more() -> None:
    bench = Bench()
    await bench.start()
    bench.time = ANSWER_SECONDS
    assert not bench.silent()
    bench.time += 0.1
    assert bench.silent()
    assert not bench.silent(STORE_STATUS)
    with pytest.raises(BrokerUnavailableError, match="has not acknowledged"):
        bench.outgoing.start(DEAD_LETTERS, KEY, b"v")
    bench.answers[0].set_result(1)
    await bench.outgoing.settle(60)
    assert not bench.silent()


async def test_a_slow_partition_is_not_silent() -> None:
    bench = Bench()
    await bench.start(10)
    for number in range(9):
        bench.time += ANSWER_SECONDS - 0.1
        assert not bench.silent()
        bench.answers[number].set_result(1)
        await asyncio.sleep(0)
    bench.time += ANSWER_SECONDS + 0.1
    assert bench.silent()
    bench.answers[9].set_exception(BrokerUnavailableError("away"))
    await bench.outgoing.settle(60)
    assert not bench.silent(), "what failed for good holds up nothing"
    assert bench.budget.used == 0


async def test_a_full_budget_takes_no_more() -> None:
    bench = Bench(limit=1000)
    await bench.start()
    with pytest.raises(OverloadedError):
        bench.outgoing.start(DEAD_LETTERS, KEY, b"v")
    bench.answers[0].set_result(1)
    await bench.outgoing.settle(60)
    await bench.start()
