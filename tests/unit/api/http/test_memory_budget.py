from __future__ import annotations

import asyncio

from api.http.memory_budget import Budget, TokenBucket


async def test_no_more_than_the_limit_is_in_hand() -> None:
    budget = Budget(10)
    assert budget.try_take(7)
    assert not budget.try_take(4)
    assert budget.try_take(3)
    budget.give_back(7)
    assert budget.used == 3
    assert budget.try_take(7)


async def test_who_waits_gets_room_when_there_is_some_the_first_first() -> None:
    budget = Budget(10)
    assert budget.try_take(10)
    got: list[int] = []

    async def take(amount: int) -> None:
        assert await budget.take(amount, 60)
        got.append(amount)

    tasks = [asyncio.create_task(take(amount)) for amount in (8, 2, 1)]
    await asyncio.sleep(0)
    budget.give_back(5)
    await asyncio.sleep(0)
    assert got == [], "a small one does not overtake a large one for ever"
    budget.give_back(5)
    await asyncio.gather(*tasks[:2])
    assert got == [8, 2]
    budget.give_back(8)
    await tasks[2]
    assert budget.used == 3


async def test_patience_ends_and_leaves_nothing_behind() -> None:
    budget = Budget(10)
    assert budget.try_take(6)
    behind = asyncio.create_task(budget.take(4, 60))
    first = asyncio.create_task(budget.take(5, 0.01))
    assert await behind
    assert not await first
    assert budget.used == 10
    budget.give_back(10)
    assert await budget.take(10, 0)


async def test_who_is_cancelled_while_waiting_takes_nothing() -> None:
    budget = Budget(10)
    assert budget.try_take(10)
    large, small = (asyncio.create_task(budget.take(n, 60)) for n in (9, 1))
    await asyncio.sleep(0)
    budget.give_back(1)
    large.cancel()
    assert await small
    assert budget.used == 10


async def test_who_is_cancelled_while_given_gives_it_back() -> None:
    budget = Budget(10)
    assert budget.try_take(10)
    waiting = asyncio.create_task(budget.take(9, 60))
    await asyncio.sleep(0)
    budget.give_back(10)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert budget.used == 0


def test_a_bucket_gives_what_it_holds_and_fills_slowly() -> None:
    now = 100.0
    bucket = TokenBucket(2, 10, lambda: now)
    assert bucket.take(7)
    assert not bucket.take(4)
    assert bucket.take(3)
    now += 1.5
    assert bucket.take(3)
    assert not bucket.take(0.1)
    now += 1e6
    assert not bucket.take(10.1), "it holds no more than that"
    assert bucket.take(10)
