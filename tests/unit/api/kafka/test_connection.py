"""The connection replaces a producer that fails, and stops even when its clients hang."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    NotLeaderForPartitionError,
    OutOfOrderSequenceNumber,
    ProducerClosed,
)
from aiokafka.producer.message_accumulator import BatchBuilder

from api.kafka import connection as module
from api.kafka import shutdown
from api.kafka.connection import KafkaConnection
from api.kafka.publisher import acknowledged_at
from stream_app.contracts.topics import MAX_STATE_BYTES, STORE_STATUS
from stream_app.errors import BrokerUnavailableError
from tests.fakes import SETTINGS


class Producer:
    """Stands in for AIOKafkaProducer.

    Attributes:
        refuses: raised when a batch is sent, or None if it is accepted.
        fails: the error of every accepted record, or None if it is acknowledged at 5 ms.
        away: number of attempts to connect that fail.
        hangs: whether it never stops.
        batch_sizes: number of records in each accepted batch.
    """

    def __init__(self) -> None:
        self.refuses: Exception | None = None
        self.fails: Exception | None = None
        self.away = 0
        self.hangs = False
        self.batch_sizes: list[int] = []
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

    def create_batch(self) -> BatchBuilder:
        return BatchBuilder(1000, 0)

    async def send_batch(self, batch: Any, _: str, *, partition: int) -> asyncio.Future[Any]:
        assert partition == 0
        if self.refuses:
            raise self.refuses
        self.batch_sizes.append(batch.record_count())
        future = asyncio.get_running_loop().create_future()
        if self.fails:
            future.set_exception(self.fails)
        else:
            future.set_result(SimpleNamespace(offset=0, timestamp=5))
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
        async def no_topics(*_: Any) -> int:
            return 0

        monkeypatch.setattr(module, "ensure_topics", no_topics)
        monkeypatch.setattr(module, "_RETRY_SECONDS", 0.001)
        monkeypatch.setattr(shutdown, "SHUTDOWN_SECONDS", 0.02)
        self.reader, self.view = Reader(), Reader()
        left = list(producers)
        self.connection = KafkaConnection(
            SETTINGS, [self.reader], [self.view], lambda _: left.pop(0) if left else Producer()
        )

    async def connect(self) -> None:
        await self.connection.start()
        while self.connection.unavailable_reason is not None:  # noqa: ASYNC110  another task connects
            await asyncio.sleep(0)

    async def send(self, value: bytes = b"v", *, at_once: bool = False) -> int:
        sent = self.connection.send(STORE_STATUS, 0, b"k", value, at_once=at_once)
        return await acknowledged_at(sent)

    async def until_sent(self) -> int:
        while True:
            try:
                return await self.send()
            except BrokerUnavailableError:
                await asyncio.sleep(0.001)


async def test_no_request_is_served_before_the_views_have_caught_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench(monkeypatch)
    with pytest.raises(BrokerUnavailableError, match="still connecting"):
        bench.connection.require_connected()
    bench.view.failures = 2
    await bench.connect()
    bench.connection.require_connected()
    assert (bench.view.started, bench.view.caught_up) == (3, 1)
    assert await bench.send() == 5_000
    await bench.connection.stop()
    with pytest.raises(BrokerUnavailableError):
        bench.connection.require_connected()


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
    await bench.connection.stop()


async def test_many_failures_at_once_replace_the_producer_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken, whole = Producer(), Producer()
    bench = Bench(monkeypatch, broken, whole)
    await bench.connect()
    broken.fails = OutOfOrderSequenceNumber()
    await asyncio.gather(*(bench.send() for _ in range(5)), return_exceptions=True)
    await bench.until_sent()
    assert (broken.events, whole.events) == (["start", "stop"], ["start"])
    await bench.connection.stop()


async def test_a_broken_producer_that_does_not_stop_is_replaced_too(
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
    await bench.connection.stop()


async def test_a_record_that_fits_in_no_batch_breaks_no_producer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sound = Producer()
    bench = Bench(monkeypatch, sound)
    await bench.connect()
    with pytest.raises(BrokerUnavailableError):
        await bench.send(b"v" * MAX_STATE_BYTES)
    assert await bench.send() == 5_000
    assert sound.events == ["start"]
    await bench.connection.stop()


async def test_records_that_come_together_share_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = Producer()
    bench = Bench(monkeypatch, sound)
    await bench.connect()
    assert set(await asyncio.gather(*(bench.send() for _ in range(20)))) == {5_000}
    assert sound.batch_sizes == [20]
    await bench.connection.stop()


async def test_an_urgent_record_waits_for_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LINGER_SECONDS", 3600)
    sound = Producer()
    bench = Bench(monkeypatch, sound)
    await bench.connect()
    assert await bench.send(at_once=True) == 5_000
    lingering = asyncio.create_task(bench.send())
    await asyncio.sleep(0)
    assert sound.batch_sizes == [1]
    await bench.connection.stop()
    assert await lingering == 5_000, "what was accepted is sent before the end"


async def test_the_connection_stops_whatever_its_clients_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stubborn = Producer()
    stubborn.hangs = True
    bench = Bench(monkeypatch, stubborn)
    await bench.connect()
    # a consumer that is stopped while its broker is away raises such errors
    bench.reader.stop_error = asyncio.CancelledError()
    bench.view.stop_error = KafkaConnectionError()
    await bench.connection.stop()
    assert stubborn.events == ["start", "stop"]


async def test_the_connection_stops_while_it_is_connecting(monkeypatch: pytest.MonkeyPatch) -> None:
    away = Producer()
    away.away = 10**9
    bench = Bench(monkeypatch, *[away] * 10_000)
    await bench.connection.start()
    await asyncio.sleep(0.01)
    await bench.connection.stop()
    assert away.events.count("start") == 0
