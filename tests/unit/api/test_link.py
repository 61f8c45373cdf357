"""The connection over a producer that fails and hangs as the test says."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    NotLeaderForPartitionError,
    OutOfOrderSequenceNumber,
    ProducerClosed,
)

from api import link as module
from api.link import KafkaLink
from stream_app.contracts.topics import STORE_STATUS
from stream_app.errors import BrokerUnavailableError
from tests.fakes import SETTINGS


class Producer:
    """Stands in for AIOKafkaProducer.

    Attributes:
        refuses: raised when a record is handed over.
        fails: what becomes of a record that was taken; None: it is acknowledged at 5 ms.
        away: how often it cannot connect.
        hangs: whether it never stops.
    """

    def __init__(self) -> None:
        self.refuses: Exception | None = None
        self.fails: Exception | None = None
        self.away = 0
        self.hangs = False
        self.events: list[str] = []

    async def start(self) -> None:
        if self.away:
            self.away -= 1
            raise KafkaConnectionError
        self.events.append("start")

    async def stop(self) -> None:
        self.events.append("stop")
        if self.hangs:
            await asyncio.Event().wait()

    async def send(self, *_: Any, **__: Any) -> asyncio.Future[Any]:
        if self.refuses:
            raise self.refuses
        future = asyncio.get_running_loop().create_future()
        if self.fails:
            future.set_exception(self.fails)
        else:
            future.set_result(SimpleNamespace(timestamp=5))
        return future


class Reader:
    def __init__(self, stop_error: BaseException | None = None) -> None:
        self.stop_error = stop_error
        self.started = 0
        self.caught_up = 0
        self.failures = 0

    async def start(self) -> None:
        self.started += 1

    async def catch_up(self) -> None:
        if self.failures:
            self.failures -= 1
            raise BrokerUnavailableError("away")
        self.caught_up += 1

    async def stop(self) -> None:
        if self.stop_error is not None:
            raise self.stop_error


class Bench:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, *producers: Producer) -> None:
        async def no_topics(_: Any) -> int:
            return 0

        monkeypatch.setattr(module, "ensure_topics", no_topics)
        monkeypatch.setattr(module, "_RETRY_SECONDS", 0.001)
        monkeypatch.setattr(module, "CLOSING_SECONDS", 0.02)
        self.reader, self.view = Reader(), Reader()
        left = list(producers)
        self.link = KafkaLink(
            SETTINGS, [self.reader], [self.view], lambda _: left.pop(0) if left else Producer()
        )

    async def connect(self) -> None:
        await self.link.start()
        while self.link.trouble is not None:  # noqa: ASYNC110  another task connects
            await asyncio.sleep(0)

    async def send(self) -> int:
        return await self.link.send(STORE_STATUS, 0, b"k", b"v")

    async def until_sent(self) -> int:
        while True:
            try:
                return await self.send()
            except BrokerUnavailableError:
                await asyncio.sleep(0.001)


async def test_nobody_passes_before_the_views_have_caught_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench(monkeypatch)
    with pytest.raises(BrokerUnavailableError, match="still connecting"):
        bench.link.require()
    bench.view.failures = 2
    await bench.connect()
    bench.link.require()
    assert (bench.view.started, bench.view.caught_up) == (3, 1)
    assert await bench.send() == 5_000
    await bench.link.stop()
    with pytest.raises(BrokerUnavailableError):
        bench.link.require()


@pytest.mark.parametrize(
    "error", [NotLeaderForPartitionError(), OutOfOrderSequenceNumber(), KafkaError()]
)
async def test_a_producer_whose_record_failed_is_replaced(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    broken, unreachable, whole = Producer(), Producer(), Producer()
    unreachable.away = 1
    bench = Bench(monkeypatch, broken, unreachable, whole)
    await bench.connect()
    broken.fails = error
    with pytest.raises(BrokerUnavailableError):
        await bench.send()
    assert await bench.until_sent() == 5_000
    assert broken.events == ["start", "stop"]
    assert whole.events == ["start"]
    await bench.link.stop()


async def test_many_failures_at_once_replace_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    broken, whole = Producer(), Producer()
    bench = Bench(monkeypatch, broken, whole)
    await bench.connect()
    broken.fails = OutOfOrderSequenceNumber()
    await asyncio.gather(*(bench.send() for _ in range(5)), return_exceptions=True)
    await bench.until_sent()
    assert (broken.events, whole.events) == (["start", "stop"], ["start"])
    await bench.link.stop()


async def test_a_broken_producer_that_does_not_end_is_left_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken = Producer()
    broken.hangs = True
    bench = Bench(monkeypatch, broken)
    await bench.connect()
    broken.refuses = ProducerClosed()
    with pytest.raises(BrokerUnavailableError):
        await bench.send()
    assert await bench.until_sent() == 5_000
    await bench.link.stop()


@pytest.mark.parametrize("error", [KafkaTimeoutError(), MessageSizeTooLargeError()])
async def test_a_record_that_it_never_took_breaks_no_producer(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    sound = Producer()
    bench = Bench(monkeypatch, sound)
    await bench.connect()
    sound.refuses = error
    with pytest.raises(BrokerUnavailableError):
        await bench.send()
    sound.refuses = None
    assert await bench.send() == 5_000
    assert sound.events == ["start"]
    await bench.link.stop()


async def test_it_stops_whatever_its_clients_do(monkeypatch: pytest.MonkeyPatch) -> None:
    stubborn = Producer()
    stubborn.hangs = True
    bench = Bench(monkeypatch, stubborn)
    await bench.connect()
    # what a consumer raises that is stopped while its broker is away
    bench.reader.stop_error = asyncio.CancelledError()
    bench.view.stop_error = KafkaConnectionError()
    await bench.link.stop()
    assert stubborn.events == ["start", "stop"]


async def test_it_stops_while_it_is_connecting(monkeypatch: pytest.MonkeyPatch) -> None:
    away = Producer()
    away.away = 10**9
    bench = Bench(monkeypatch, *[away] * 10_000)
    await bench.link.start()
    await asyncio.sleep(0.01)
    await bench.link.stop()
    assert away.events.count("start") == 0


async def test_while_the_buffer_of_a_partition_is_full_one_waits_for_it_and_the_others_for_him(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    full, other = asyncio.Event(), []

    class Full(Producer):
        waiting = 0

        async def send(self, *told: Any, partition: int) -> asyncio.Future[Any]:
            if partition == 0:
                self.waiting += 1
                await full.wait()
                other.append(told[1])
            return await super().send()

    crowded = Full()
    bench = Bench(monkeypatch, crowded)
    await bench.connect()
    values = [str(number).encode() for number in range(50)]
    sends = [asyncio.create_task(bench.link.send(STORE_STATUS, 0, b"k", value)) for value in values]
    await asyncio.sleep(0)
    assert await bench.link.send(STORE_STATUS, 1, b"k", b"v") == 5_000, "no other partition waits"
    assert crowded.waiting == 1
    full.set()
    await asyncio.gather(*sends)
    assert other == values
    await bench.link.stop()
