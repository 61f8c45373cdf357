from __future__ import annotations

import asyncio

from api.http.memory_budget import MemoryBudget, TokenBucket


async def test_no_more_than_the_limit_is_acquired() -> None:
    budget = MemoryBudget(10)
    assert budget.try_acquire(7)
    assert not budget.try_acquire(4)
    assert budget.try_acquire(3)
    budget.release(7)
    assert budget.used == 3
    assert budget.try_acquire(7)


async def test_waiting_tasks_acquire_memory_in_the_order_of_their_requests() -> None:
    budget = MemoryBudget(10)
    assert budget.try_acquire(10)
    acquired: list[int] = []

    async def acquire(amount: int) -> None:
        assert await budget.acquire(amount, 60)
        acquired.append(amount)

    tasks = [asyncio.create_task(acquire(amount)) for amount in (8, 2, 1)]
    await asyncio.sleep(0)
    budget.release(5)
    await asyncio.sleep(0)
    assert acquired == [], "a small request does not overtake a large one"
    budget.release(5)
    await asyncio.gather(*tasks[:2])
    assert acquired == [8, 2]
    budget.release(8)
    await tasks[2]
    assert budget.used == 3


async def test_a_task_that_waits_too_long_acquires_nothing_and_holds_up_no_other() -> None:
    budget = MemoryBudget(10)
    assert budget.try_acquire(6)
    behind = asyncio.create_task(budget.acquire(4, 60))
    first = asyncio.create_task(budget.acquire(5, 0.01))
    assert await behind
    assert not await first
    assert budget.used == 10
    budget.release(10)
    assert await budget.acquire(10, 0)


async def test_a_task_that_is_cancelled_while_it_waits_acquires_nothing() -> None:
    budget = MemoryBudget(10)
    assert budget.try_acquire(10)
    large, small = (asyncio.create_task(budget.acquire(n, 60)) for n in (9, 1))
    await asyncio.sleep(0)
    budget.release(1)
    large.cancel()
    assert await small
    assert budget.used == 10


async def test_a_task_that_is_cancelled_as_it_acquires_releases_its_memory() -> None:
    budget = MemoryBudget(10)
    assert budget.try_acquire(10)
    waiting = asyncio.create_task(budget.acquire(9, 60))
    await asyncio.sleep(0)
    budget.release(10)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert budget.used == 0


def test_a_bucket_gives_its_tokens_and_fills_slowly() -> None:
    now = 100.0
    bucket = TokenBucket(2, 10, lambda: now)
    assert bucket.try_acquire(7)
    assert not bucket.try_acquire(4)
    assert bucket.try_acquire(3)
    now += 1.5
    assert bucket.try_acquire(3)
    assert not bucket.try_acquire(0.1)
    now += 1e6
    assert not bucket.try_acquire(10.1), "it holds no more than that"
    assert bucket.try_acquire(10)
