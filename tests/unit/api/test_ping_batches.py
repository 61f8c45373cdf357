"""Coalescing, with a timer that the test turns and a broker that answers when told."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from api.ping_batches import PingBatches
from stream_app.contracts.records import MAX_POLLS_PER_RECORD

if TYPE_CHECKING:
    from collections.abc import Callable

A, B = "a", "b"


class Timer:
    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Bench:
    """Batches over a broker and timers of the test's own."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, list[Any]]] = []
        self.answers: list[asyncio.Future[int]] = []
        self.timers: list[Timer] = []
        self.batches = PingBatches(self.send, call_later=self.call_later)

    async def send(self, store_id: str, polls: list[Any]) -> int:
        self.sent.append((store_id, polls))
        self.answers.append(asyncio.get_running_loop().create_future())
        return await self.answers[-1]

    def call_later(self, _: float, callback: Callable[[], None]) -> Timer:
        self.timers.append(Timer(callback))
        return self.timers[-1]

    async def ring(self, number: int) -> None:
        self.timers[number].callback()
        await asyncio.sleep(0)


async def test_pings_of_one_window_are_one_record_and_each_learns_of_it() -> None:
    bench = Bench()
    waiting = [bench.batches.add(A, [(n, True)]) for n in range(3)]
    assert len(bench.timers) == 1
    assert bench.sent == []
    await bench.ring(0)
    assert bench.sent == [(A, [(0, True), (1, True), (2, True)])]
    bench.answers[0].set_result(77)
    assert await asyncio.gather(*waiting) == [77, 77, 77]


async def test_a_store_waits_for_no_other() -> None:
    bench = Bench()
    slow = bench.batches.add(A, [(1, True)])
    quick = bench.batches.add(B, [(2, True)])
    await bench.ring(0)
    await bench.ring(1)
    bench.answers[1].set_result(5)
    assert await quick == 5
    assert not slow.done()
    bench.answers[0].set_result(6)
    assert await slow == 6


async def test_a_ping_after_the_window_opens_the_next_one_while_the_first_is_under_way() -> None:
    bench = Bench()
    first = bench.batches.add(A, [(1, True)])
    await bench.ring(0)
    second = bench.batches.add(A, [(2, True)])
    assert first is not second
    await bench.ring(1)
    assert [polls for _, polls in bench.sent] == [[(1, True)], [(2, True)]]
    for answer in bench.answers:
        answer.set_result(1)
    await asyncio.gather(first, second)


async def test_a_full_record_goes_at_once() -> None:
    bench = Bench()
    for n in range(MAX_POLLS_PER_RECORD):
        bench.batches.add(A, [(n, True)])
    await asyncio.sleep(0)
    assert [len(polls) for _, polls in bench.sent] == [MAX_POLLS_PER_RECORD]
    assert bench.timers[0].cancelled
    bench.answers[0].set_result(1)


async def test_polls_that_do_not_fit_into_the_open_record_begin_the_next() -> None:
    bench = Bench()
    bench.batches.add(A, [(n, True) for n in range(300)])
    bench.batches.add(A, [(n, True) for n in range(300)])
    await asyncio.sleep(0)
    assert [len(polls) for _, polls in bench.sent] == [300]
    await bench.ring(1)
    assert [len(polls) for _, polls in bench.sent] == [300, 300]
    for answer in bench.answers:
        answer.set_result(1)


async def test_a_failure_reaches_all_who_share_the_record_and_nobody_else() -> None:
    bench = Bench()
    failing = [bench.batches.add(A, [(n, True)]) for n in range(2)]
    other = bench.batches.add(B, [(1, True)])
    await bench.ring(0)
    await bench.ring(1)
    bench.answers[0].set_exception(ConnectionError("away"))
    bench.answers[1].set_result(3)
    for waiting in failing:
        with pytest.raises(ConnectionError):
            await waiting
    assert await other == 3


async def test_a_failure_that_nobody_waits_for_is_no_complaint() -> None:
    complaints: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    bench = Bench()
    bench.batches.add(A, [(1, True)])
    await bench.ring(0)
    bench.answers[0].set_exception(ConnectionError("away"))
    await bench.batches.settle(1)
    assert not bench.batches._sending
    assert complaints == []


async def test_at_the_end_what_is_gathered_is_sent() -> None:
    bench = Bench()
    waiting = bench.batches.add(A, [(1, True)])
    bench.batches.close_all()
    await asyncio.sleep(0)
    bench.answers[0].set_result(9)
    await bench.batches.settle(60)
    assert waiting.result() == 9
