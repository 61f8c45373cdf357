"""The sink of records is tested over a producer that acknowledges when the test says so."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.errors import MessageSizeTooLargeError, NotLeaderForPartitionError

from producers import record_sink as sink_module
from producers.record_sink import RecordSink
from stream_app.contracts.partitioning import partition_of
from stream_app.contracts.topics import (
    DEAD_LETTERS,
    MAX_STATE_BYTES,
    STORE_STATUS,
    STORE_TIMEZONES,
)
from stream_app.errors import BrokerUnavailableError, StoreUptimeError
from stream_app.kafka import clients
from stream_app.settings import Settings
from tests.producer_double import ProducerDouble

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SETTINGS = Settings.from_environment({}, kafka_bootstrap="127.0.0.1:9")


def key_in(partition: int) -> bytes:
    """Return a key of a partition."""
    return next(
        key
        for key in (str(number).encode() for number in range(1000))
        if partition_of(key, SETTINGS.partitions) == partition
    )


A, B, C = map(key_in, range(3))


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@asynccontextmanager
async def make_sink(
    monkeypatch: pytest.MonkeyPatch, **arguments: Any
) -> AsyncIterator[tuple[RecordSink, ProducerDouble]]:
    double = ProducerDouble()
    monkeypatch.setattr(sink_module, "producer", lambda *_args, **_kwargs: double)
    async with RecordSink(SETTINGS, linger=0, **arguments) as sink:
        yield sink, double
    assert double.stopped


async def test_sent_and_acknowledged_records_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with make_sink(monkeypatch) as (sink, double):
        await sink.send(STORE_STATUS, A, b"1", rows=512)
        await sink.send(STORE_STATUS, B, b"2", rows=3)
        await sink.send(STORE_STATUS, A, b"3", rows=5)
        await sink.send(STORE_TIMEZONES, A, b"4")
        await turn()
        of_a, of_b, of_timezone = double.batches
        of_a.acknowledge()
        of_timezone.acknowledge()
        await turn()
        count = sink.counts[STORE_STATUS.name]
        assert (count.records, count.rows) == (3, 520)
        assert (count.acknowledged_records, count.acknowledged_rows) == (2, 517)
        assert sink.counts[STORE_TIMEZONES.name].acknowledged_records == 1
        assert sink.in_flight == 1
        of_b.acknowledge()
    assert (count.acknowledged_records, count.acknowledged_rows) == (3, 520)
    assert of_a.records == [(A, b"1"), (A, b"3")]
    assert double.sent[2] == (STORE_STATUS.name, B, b"2")


async def test_records_that_wait_for_each_other_share_a_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One request a batch and not a future, a wake-up and a log line a record."""
    async with make_sink(monkeypatch) as (sink, double):
        for number in range(20):
            await sink.send(STORE_STATUS, A, str(number).encode())
        await turn()
        (batch,) = double.batches
        assert [value for _, value in batch.records] == [str(n).encode() for n in range(20)]
        batch.acknowledge()
    assert sink.counts[STORE_STATUS.name].acknowledged_records == 20


async def test_the_callback_gets_the_metadata_of_each_acknowledged_record(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[Any] = []

    def acknowledged(number: int, metadata: Any) -> None:
        calls.append((number, metadata.append_time))

    with pytest.raises(BrokerUnavailableError):  # noqa: PT012  the error may come at the exit
        async with make_sink(monkeypatch) as (sink, double):
            for number, key in enumerate((A, B, C, C)):
                await sink.send(
                    STORE_STATUS,
                    key,
                    b"1",
                    on_acknowledged=partial(acknowledged, number),
                )
            await turn()
            double.batches[2].acknowledge(3)
            await turn()
            double.batches[0].acknowledge(1)
            await turn()
            assert calls == [(2, 3000), (3, 3000), (0, 1000)]
            double.batches[1].future.set_exception(NotLeaderForPartitionError())
    assert len(calls) == 3


async def test_draining_waits_for_the_last_acknowledgement(monkeypatch: pytest.MonkeyPatch) -> None:
    async with make_sink(monkeypatch) as (sink, double):
        await sink.send(STORE_STATUS, A, b"1")
        await sink.send(STORE_STATUS, B, b"2")
        drained = asyncio.create_task(sink.drain())
        await turn()
        double.batches[0].acknowledge()
        await asyncio.sleep(0.01)
        assert not drained.done()
        double.batches[1].acknowledge()
        await drained


async def test_draining_does_not_linger(monkeypatch: pytest.MonkeyPatch) -> None:
    double = ProducerDouble()
    monkeypatch.setattr(sink_module, "producer", lambda *_args, **_kwargs: double)
    async with RecordSink(SETTINGS, linger=3600) as sink:
        await sink.send(STORE_STATUS, A, b"1")
        await turn()
        assert not double.batches
        drained = asyncio.create_task(sink.drain())
        await turn()
        double.batches[0].acknowledge()
        await drained


async def test_a_record_that_the_broker_never_accepts_fails_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(StoreUptimeError, match="refuses a record on store-status"):  # noqa: PT012  the error may come at the exit
        async with make_sink(monkeypatch) as (sink, double):
            await sink.send(STORE_STATUS, A, b"1")
            await turn()
            double.batches[0].future.set_exception(MessageSizeTooLargeError("too large"))
            await turn()
            assert sink.counts[STORE_STATUS.name].failed_records == 1
            await sink.send(STORE_STATUS, A, b"2")
    assert len(double.sent) == 1


async def test_a_record_that_no_batch_takes_fails_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StoreUptimeError, match="refuses a record on store-status"):
        async with make_sink(monkeypatch) as (sink, _):
            await sink.send(STORE_STATUS, A, bytes(MAX_STATE_BYTES))


async def test_a_failure_at_the_very_end_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BrokerUnavailableError):  # noqa: PT012  the error may come at the exit
        async with make_sink(monkeypatch) as (sink, double):
            await sink.send(STORE_STATUS, A, b"1")
            await turn()
            double.batches[0].future.set_exception(NotLeaderForPartitionError())


async def test_a_full_buffer_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async with make_sink(monkeypatch) as (sink, double):
        double.full = 3
        await sink.send(STORE_STATUS, A, b"1")
        drained = asyncio.create_task(sink.drain())
        await double.received.wait()
        double.batches[0].acknowledge()
        await drained
    assert sink.counts[STORE_STATUS.name].acknowledged_records == 1


async def test_a_partition_holds_back_who_sends_faster_than_the_broker_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sink_module, "MAX_WAITING_BYTES", 1000)
    async with make_sink(monkeypatch) as (sink, double):
        for _ in range(3):
            await sink.send(STORE_STATUS, A, bytes(400))
        held = asyncio.create_task(sink.send(STORE_STATUS, A, bytes(400)))
        await turn()
        assert not held.done()
        await sink.send(STORE_STATUS, B, bytes(400))
        while not held.done():
            for batch in double.batches:
                if not batch.future.done():
                    batch.acknowledge()
            await turn()
        await held
        while sink.in_flight:
            for batch in double.batches:
                if not batch.future.done():
                    batch.acknowledge()
            await turn()
    assert sink.counts[STORE_STATUS.name].acknowledged_records == 5


async def test_gives_up_when_the_buffer_stays_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sink_module, "MAX_WAITING_BYTES", 0)
    monkeypatch.setattr(clients, "CLOSING_SECONDS", 0.05)
    with pytest.raises(BrokerUnavailableError, match="no Kafka broker answers"):  # noqa: PT012  leaving it is part of it
        async with make_sink(monkeypatch, time_limit=0.05) as (sink, double):
            double.full = 1000
            await sink.send(STORE_STATUS, A, b"1")
            await sink.send(STORE_STATUS, A, b"2")
    assert double.full > 900, "it does not wait for as long as the buffer is full"


async def test_the_sink_gives_up_when_nothing_is_acknowledged_any_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clients, "CLOSING_SECONDS", 0.05)
    with pytest.raises(BrokerUnavailableError):  # noqa: PT012  leaving it is part of it
        async with make_sink(monkeypatch, time_limit=0.05) as (sink, _):
            await sink.send(STORE_STATUS, A, b"1")
            await sink.drain()


async def test_the_sink_goes_on_while_records_are_acknowledged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = asyncio.get_running_loop()
    time, later = loop.time, 0.0
    monkeypatch.setattr(loop, "time", lambda: time() + later)
    async with make_sink(monkeypatch, time_limit=6000) as (sink, double):
        for partition in range(4):
            await sink.send(STORE_STATUS, key_in(partition), b"1")
        drained = asyncio.create_task(sink.drain())
        await turn()
        for number in range(4):
            # all four together take longer than the limit
            later += 4000
            double.batches[number].acknowledge()
            await turn()
        await drained
        assert sink.in_flight == 0


async def test_an_early_exit_does_not_wait_for_a_lost_broker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clients, "CLOSING_SECONDS", 0.01)

    async def never(_self: ProducerDouble) -> None:
        await asyncio.sleep(3600)

    monkeypatch.setattr(ProducerDouble, "stop", never)
    with pytest.raises(RuntimeError, match="the body's own"):  # noqa: PT012  the error may come at the exit
        async with make_sink(monkeypatch) as (sink, _):
            await sink.send(STORE_STATUS, A, b"1")
            raise RuntimeError("the body's own")


async def test_the_settings_decide_the_partition_and_not_the_topic(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No worker reads a partition that somebody added."""
    async with make_sink(monkeypatch) as (sink, double):
        for key in (b"a", b"b", b"c"):
            await sink.send(STORE_STATUS, key, b"1")
        await sink.send(DEAD_LETTERS, b"a", b"1")
        await turn()
        for batch in double.batches:
            batch.acknowledge()
    expected = {partition_of(key, SETTINGS.partitions) for key in (b"a", b"b", b"c")}
    assert {b.partition for b in double.batches if b.topic == STORE_STATUS.name} == expected
    assert [b.partition for b in double.batches if b.topic == DEAD_LETTERS.name] == [0]
