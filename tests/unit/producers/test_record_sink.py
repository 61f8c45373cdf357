"""The sink over a producer that acknowledges when the test says so."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.errors import KafkaTimeoutError, MessageSizeTooLargeError, NotLeaderForPartitionError

from producers import record_sink as sink_module
from producers.record_sink import RecordSink
from stream_app.contracts.partitioning import partition_of
from stream_app.contracts.topics import DEAD_LETTERS, STORE_STATUS, STORE_TIMEZONES
from stream_app.errors import BrokerUnavailableError, StoreUptimeError
from stream_app.kafka import clients
from stream_app.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SETTINGS = Settings.from_environment({}, kafka_bootstrap="127.0.0.1:9")


class ProducerDouble:
    """Stands in for AIOKafkaProducer."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes, bytes]] = []
        self.partitions: list[int] = []
        self.futures: list[asyncio.Future[Any]] = []
        self.full = 0
        self.stopped = False

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        self.stopped = True

    async def send(
        self, topic: str, *, value: bytes, key: bytes, partition: int
    ) -> asyncio.Future[Any]:
        if self.full:
            self.full -= 1
            await asyncio.sleep(0.01)
            raise KafkaTimeoutError
        future = asyncio.get_running_loop().create_future()
        self.sent.append((topic, key, value))
        self.partitions.append(partition)
        self.futures.append(future)
        return future

    def acknowledge(self, *numbers: int) -> None:
        for number in numbers:
            self.futures[number].set_result(None)


@asynccontextmanager
async def make_sink(
    monkeypatch: pytest.MonkeyPatch, **arguments: Any
) -> AsyncIterator[tuple[RecordSink, ProducerDouble]]:
    double = ProducerDouble()
    monkeypatch.setattr(sink_module, "producer", lambda *_args, **_kwargs: double)
    async with RecordSink(SETTINGS, **arguments) as sink:
        yield sink, double
    assert double.stopped


async def test_counts_what_is_sent_and_what_is_acknowledged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with make_sink(monkeypatch) as (sink, double):
        await sink.send(STORE_STATUS, b"a", b"1", rows=512)
        await sink.send(STORE_STATUS, b"b", b"2", rows=3)
        await sink.send(STORE_TIMEZONES, b"a", b"3")
        double.acknowledge(0, 2)
        await asyncio.sleep(0)
        count = sink.counts[STORE_STATUS.name]
        assert (count.records, count.rows) == (2, 515)
        assert (count.acknowledged_records, count.acknowledged_rows) == (1, 512)
        assert sink.counts[STORE_TIMEZONES.name].acknowledged_records == 1
        assert sink.in_flight == 1
        double.acknowledge(1)
    assert (count.acknowledged_records, count.acknowledged_rows) == (2, 515)
    assert double.sent[0] == (STORE_STATUS.name, b"a", b"1")


async def test_the_callback_gets_the_metadata_of_each_acknowledged_record(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[Any] = []

    def acknowledged(number: int, metadata: Any) -> None:
        told.append((number, metadata))

    with pytest.raises(BrokerUnavailableError):  # noqa: PT012  leaving it is part of it
        async with make_sink(monkeypatch) as (sink, double):
            for number in range(3):
                await sink.send(
                    STORE_STATUS,
                    b"a",
                    b"1",
                    on_acknowledged=partial(acknowledged, number),
                )
            double.futures[2].set_result("third")
            double.futures[0].set_result("first")
            await asyncio.sleep(0)
            assert told == [(2, "third"), (0, "first")]
            double.futures[1].set_exception(NotLeaderForPartitionError())
    assert len(told) == 2


async def test_draining_waits_for_the_last_acknowledgement(monkeypatch: pytest.MonkeyPatch) -> None:
    async with make_sink(monkeypatch) as (sink, double):
        await sink.send(STORE_STATUS, b"a", b"1")
        await sink.send(STORE_STATUS, b"a", b"2")
        drained = asyncio.create_task(sink.drain())
        double.acknowledge(0)
        await asyncio.sleep(0.01)
        assert not drained.done()
        double.acknowledge(1)
        await drained


async def test_a_record_that_is_rejected_for_good_fails_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(StoreUptimeError, match="refuses a record on store-status"):  # noqa: PT012  leaving it is part of it
        async with make_sink(monkeypatch) as (sink, double):
            await sink.send(STORE_STATUS, b"a", b"1")
            double.futures[0].set_exception(MessageSizeTooLargeError("too large"))
            await asyncio.sleep(0)
            assert sink.counts[STORE_STATUS.name].failed_records == 1
            await sink.send(STORE_STATUS, b"a", b"2")
    assert len(double.sent) == 1


async def test_a_failure_at_the_very_end_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BrokerUnavailableError):  # noqa: PT012  leaving it is part of it
        async with make_sink(monkeypatch) as (sink, double):
            await sink.send(STORE_STATUS, b"a", b"1")
            double.futures[0].set_exception(NotLeaderForPartitionError())


async def test_a_full_buffer_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async with make_sink(monkeypatch) as (sink, double):
        double.full = 3
        await sink.send(STORE_STATUS, b"a", b"1")
        double.acknowledge(0)
    assert sink.counts[STORE_STATUS.name].acknowledged_records == 1


async def test_gives_up_when_the_buffer_stays_full(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BrokerUnavailableError, match="no Kafka broker answers"):  # noqa: PT012  leaving it is part of it
        async with make_sink(monkeypatch, time_limit=0.05) as (sink, double):
            await sink.send(STORE_STATUS, b"a", b"1")
            double.full = 1000
            await sink.send(STORE_STATUS, b"a", b"2")
    assert double.full > 900, "it does not wait for as long as the buffer is full"


async def test_gives_up_when_nothing_is_acknowledged_any_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(BrokerUnavailableError):  # noqa: PT012  leaving it is part of it
        async with make_sink(monkeypatch, time_limit=0.05) as (sink, _):
            await sink.send(STORE_STATUS, b"a", b"1")
            await sink.drain()


async def test_goes_on_as_long_as_some_are_acknowledged(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    time, later = loop.time, 0.0
    monkeypatch.setattr(loop, "time", lambda: time() + later)
    async with make_sink(monkeypatch, time_limit=6000) as (sink, double):
        for number in range(4):
            await sink.send(STORE_STATUS, b"a", str(number).encode())
        drained = asyncio.create_task(sink.drain())
        for number in range(4):
            # all four together take longer than the limit
            later += 4000
            double.acknowledge(number)
            for _ in range(5):
                await asyncio.sleep(0)
        await drained
        assert sink.in_flight == 0


async def test_leaving_early_does_not_wait_for_a_lost_broker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clients, "CLOSING_SECONDS", 0.01)

    async def never(_self: ProducerDouble) -> None:
        await asyncio.sleep(3600)

    monkeypatch.setattr(ProducerDouble, "stop", never)
    with pytest.raises(RuntimeError, match="the body's own"):  # noqa: PT012  leaving it is part of it
        async with make_sink(monkeypatch) as (sink, _):
            await sink.send(STORE_STATUS, b"a", b"1")
            raise RuntimeError("the body's own")


async def test_the_settings_say_the_partition_whatever_the_topic_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody reads a partition that somebody added."""
    async with make_sink(monkeypatch) as (sink, double):
        for key in (b"a", b"b", b"c"):
            await sink.send(STORE_STATUS, key, b"1")
        await sink.send(DEAD_LETTERS, b"a", b"1")
        double.acknowledge(0, 1, 2, 3)
    expected = [partition_of(key, SETTINGS.partitions) for key in (b"a", b"b", b"c")]
    assert double.partitions == [*expected, 0]
