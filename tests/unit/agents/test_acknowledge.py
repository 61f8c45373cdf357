"""An event is acknowledged when all that it led to is in Kafka, never before."""

from __future__ import annotations

import asyncio
from itertools import permutations

import pytest

from stream_app.agents.acknowledge import acknowledge_when_done
from tests.agent_fakes import Failures, FakeEvent, FakeMessage, settle


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_after_the_last_of_them_in_any_order(order: tuple[int, ...]) -> None:
    event, failures = FakeEvent(FakeMessage(b"")), Failures()
    futures = [asyncio.get_running_loop().create_future() for _ in order]
    acknowledge_when_done(event, futures, failures)

    for position in order:
        assert event.acks == 0
        futures[position].set_result(None)
        await settle()

    assert event.acks == 1
    assert failures.errors == []


async def test_at_once_when_there_is_nothing_to_wait_for() -> None:
    event = FakeEvent(FakeMessage(b""))

    acknowledge_when_done(event, [], Failures())

    assert event.acks == 1


@pytest.mark.parametrize("failing", range(3))
async def test_never_when_one_fails(failing: int) -> None:
    event, failures = FakeEvent(FakeMessage(b"")), Failures()
    futures = [asyncio.get_running_loop().create_future() for _ in range(3)]
    acknowledge_when_done(event, futures, failures)
    error = OSError("the broker is gone")

    for position, future in enumerate(futures):
        if position == failing:
            future.set_exception(error)
        else:
            future.set_result(None)
    await settle()

    assert event.acks == 0
    assert failures.errors == [error]


async def test_a_future_that_is_done_already_counts() -> None:
    event = FakeEvent(FakeMessage(b""))
    done, open_ = (asyncio.get_running_loop().create_future() for _ in range(2))
    done.set_result(None)
    acknowledge_when_done(event, [done, open_], Failures())
    await settle()
    assert event.acks == 0

    open_.set_result(None)
    await settle()

    assert event.acks == 1


async def test_a_cancelled_future_ends_the_worker_and_acknowledges_nothing() -> None:
    event, failures = FakeEvent(FakeMessage(b"")), Failures()
    sent = asyncio.get_running_loop().create_future()
    acknowledge_when_done(event, [sent], failures)

    sent.cancel()
    await settle()

    assert [str(error) for error in failures.errors] == ["a record's way to Kafka was cut off"]
    assert event.acks == 0
