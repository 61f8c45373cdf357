from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from producers.simulator.delivery_stats import DeliveryStats
from producers.simulator.model import Ping
from producers.simulator.pacer import MAX_BATCH, Pacer
from stream_app.domain.timestamps import SECOND
from stream_app.errors import StoreUptimeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

START = 1_710_072_000_000_000


class Clock:
    """A clock that moves only when a test moves it or something sleeps."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    really_sleep = asyncio.sleep

    async def sleep(seconds: float) -> None:
        made.now += round(seconds * SECOND)
        await really_sleep(0)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return made


class SinkDouble:
    """Acknowledges at once, or accepts batches without an answer up to `room`."""

    def __init__(self, clock: Clock, room: int | None = None) -> None:
        self.clock = clock
        self.batches: list[tuple[int, list[Ping]]] = []
        self.drained = False
        self.error: StoreUptimeError | None = None
        self.seconds_a_batch = 0.0
        self._room = None if room is None else asyncio.Semaphore(room)

    async def send(self, pings: Sequence[Ping], stats: DeliveryStats) -> None:
        if self._room is not None:
            await self._room.acquire()
        if self.error is not None:
            raise self.error
        stats.record_sent(pings)
        self.batches.append((self.clock.now, list(pings)))
        self.clock.now += round(self.seconds_a_batch * SECOND)
        if self._room is None:
            stats.record_acknowledged(pings, 0.0)

    async def drain(self) -> None:
        self.drained = True

    @property
    def pings(self) -> list[Ping]:
        return [ping for _, batch in self.batches for ping in batch]


def endless(every: int) -> Iterator[Ping]:
    due = START
    while True:
        yield Ping(due, 0, due, True)
        due += every


def made(pings: Iterator[Ping], sink: SinkDouble, clock: Clock) -> tuple[Pacer, DeliveryStats]:
    stats = DeliveryStats(lambda _: None, lambda: clock.now / SECOND)
    return Pacer(pings, sink, stats, clock), stats


async def test_sends_each_ping_when_it_is_due_and_not_before(clock: Clock) -> None:
    sink = SinkDouble(clock)
    pacer, stats = made(endless(SECOND // 10), sink, clock)
    await pacer.run(until=START + 3 * SECOND)
    assert [ping.due for ping in sink.pings] == list(range(START, START + 3 * SECOND, SECOND // 10))
    for now, batch in sink.batches:
        assert all(0 <= now - ping.due <= SECOND // 10 for ping in batch)
    assert sink.drained
    assert stats.counts.sent == stats.counts.acknowledged == 30


async def test_pings_that_are_due_together_are_sent_together_up_to_a_limit(clock: Clock) -> None:
    sink = SinkDouble(clock)
    pacer, _ = made(endless(1), sink, clock)
    await pacer.run(until=START + 2 * MAX_BATCH + 5)
    assert {len(batch) for _, batch in sink.batches} <= {1, 4, 5, MAX_BATCH}
    assert len(sink.pings) == 2 * MAX_BATCH + 5


async def test_a_slow_sink_makes_pings_late_and_no_pings_gather(clock: Clock) -> None:
    """A thousand pings a second meet a sink for one batch a second; the rest is not drawn yet."""
    sink = SinkDouble(clock)
    sink.seconds_a_batch = 1.0
    pulled = 0

    def counted() -> Iterator[Ping]:
        nonlocal pulled
        for ping in endless(SECOND // 1000):
            pulled += 1
            yield ping

    pacer, stats = made(counted(), sink, clock)
    await pacer.run(until=START + 10 * SECOND)
    assert len(sink.batches) == 11
    assert clock.now == START + 11 * SECOND, "the run ends on time"
    assert stats.seconds_behind > 4.0
    assert pulled == len(sink.pings) + 1


async def test_a_sink_without_a_limit_does_not_block_other_tasks(clock: Clock) -> None:
    sink = SinkDouble(clock)
    sink.seconds_a_batch = 10.0
    pacer, _ = made(endless(SECOND), sink, clock)
    running = asyncio.create_task(pacer.run())
    await asyncio.sleep(0.0)
    await asyncio.sleep(0.0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert 1 <= len(sink.batches) <= 3


async def test_the_pacer_waits_for_room_in_the_sink(clock: Clock) -> None:
    sink = SinkDouble(clock, room=3)
    pacer, stats = made(endless(SECOND), sink, clock)
    running = asyncio.create_task(pacer.run())
    for _ in range(1000):
        await asyncio.sleep(1.0)
    assert len(sink.batches) == 3
    assert stats.in_flight == set(sink.pings), "a ping that waits for room is not sent"
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_cancelled_pacer_still_waits_for_the_answers(clock: Clock) -> None:
    sink = SinkDouble(clock)
    pacer, _ = made(endless(SECOND), sink, clock)
    running = asyncio.create_task(pacer.run())
    await asyncio.sleep(0.1)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert sink.drained
    assert sink.pings


async def test_an_error_of_the_sink_ends_the_run(clock: Clock) -> None:
    sink = SinkDouble(clock)
    sink.error = StoreUptimeError("no use")
    pacer, _ = made(endless(SECOND), sink, clock)
    with pytest.raises(StoreUptimeError, match="no use"):
        await pacer.run()


async def test_the_run_ends_with_the_last_ping(clock: Clock) -> None:
    sink = SinkDouble(clock)
    pacer, _ = made(iter([Ping(START, 0, START, True)]), sink, clock)
    await pacer.run()
    assert len(sink.pings) == 1
