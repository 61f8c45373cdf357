"""A log is read by offsets; the tests hold the requests, answers and errors of each call."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.errors import (
    KafkaConnectionError,
    LeaderNotAvailableError,
    NodeNotReadyError,
    NotLeaderForPartitionError,
    OffsetOutOfRangeError,
    RequestTimedOutError,
    UnknownTopicOrPartitionError,
)
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.offset import OffsetRequest

from stream_app.errors import BrokerUnavailableError
from stream_app.kafka import clients
from stream_app.kafka import log_reader as module
from stream_app.kafka.log_reader import FETCH_BYTES, LogReader
from tests.agent_fakes import settings_with
from tests.kafka_batches import batch_of

if TYPE_CHECKING:
    from collections.abc import Callable

TOPIC = "changelog"


class Client:
    """Stands in for aiokafka's client with one broker, which answers what a test says.

    Attributes:
        leader: the leader of every partition.
        answer: the fields of a partition's answer after its number.
        error: raised by `send`.
        requests: every request, with the broker that it went to.
        refreshed: the number of requests for new metadata.
    """

    def __init__(self, **_: Any) -> None:
        self.leader: int | None = 2
        self.answer: list[Any] = [0, 0, 0, 0, [], b""]
        self.error: Exception | None = None
        self.requests: list[tuple[int, Any]] = []
        self.refreshed = 0
        self.closed = 0
        self.topics: list[str] = []
        self.cluster = SimpleNamespace(leader_for_partition=lambda _: self.leader)

    async def bootstrap(self) -> None:
        if self.error is not None:
            raise self.error

    async def set_topics(self, topics: list[str]) -> None:
        self.topics = topics

    async def close(self) -> None:
        self.closed += 1

    async def send(self, node: int, request: Any) -> Any:
        self.requests.append((node, request))
        if self.error is not None:
            raise self.error
        return SimpleNamespace(topics=[(TOPIC, [(3, *self.answer)])])

    def force_metadata_update(self) -> None:
        self.refreshed += 1


class Harness:
    """A log reader over the client above."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.client = Client()
        monkeypatch.setattr(module, "AIOKafkaClient", lambda **_: self.client)
        self.reader = LogReader(settings_with(), [TOPIC])


@pytest.fixture
async def harness(monkeypatch: pytest.MonkeyPatch) -> Harness:
    harness = Harness(monkeypatch)
    await harness.reader.start()
    return harness


def fetched(
    data: bytes | None, *, high_watermark: int = 20, last_stable: int | None = 18, code: int = 0
) -> list[Any]:
    return [code, high_watermark, last_stable, 0, [], data]


async def test_the_leader_is_asked_for_committed_records_from_an_offset_on(
    harness: Harness,
) -> None:
    harness.client.answer = fetched(b"")

    await harness.reader.fetch(TOPIC, 3, 7)
    await harness.reader.fetch(TOPIC, 3, 7, max_bytes=1)

    assert harness.client.topics == [TOPIC]
    for (node, request), size in zip(harness.client.requests, (FETCH_BYTES, 1), strict=True):
        assert node == 2
        assert isinstance(request, FetchRequest)
        assert request._topics == [(TOPIC, [(3, 7, size)])]
        assert request._isolation_level == 1
        assert request._max_wait_ms == 0, "the answer comes at once"


async def test_the_answer_has_the_end_and_all_batches_also_those_below_the_offset(
    harness: Harness,
) -> None:
    harness.client.answer = fetched(
        batch_of([b"a", b"b", b"c"], base=5) + batch_of([b"d"], "zstd", base=9)
    )

    answer = await harness.reader.fetch(TOPIC, 3, 7)

    assert [(b.base_offset, b.next_offset) for b in answer.batches] == [(5, 8), (9, 10)]
    assert [r.value for b in answer.batches for r in b.records] == [b"a", b"b", b"c", b"d"]
    assert answer.end == 18, "records of an open transaction cannot be read"


@pytest.mark.parametrize("last_stable", [None, -1])
async def test_the_high_watermark_is_the_end_where_a_broker_knows_no_stable_offset(
    harness: Harness, last_stable: int | None
) -> None:
    harness.client.answer = fetched(None, last_stable=last_stable)

    answer = await harness.reader.fetch(TOPIC, 3, 7)

    assert (answer.batches, answer.end) == ([], 20)


async def test_a_batch_that_cannot_be_read_is_a_range_with_a_reason(harness: Harness) -> None:
    damaged = bytearray(batch_of([b"a", b"b"], base=5))
    damaged[-3] ^= 0x55
    harness.client.answer = fetched(bytes(damaged) + batch_of([b"c"], base=7))

    bad, good = (await harness.reader.fetch(TOPIC, 3, 5)).batches

    assert (bad.base_offset, bad.next_offset, bad.records) == (5, 7, [])
    assert bad.error
    assert [record.value for record in good.records] == [b"c"]


async def test_beginning_and_end_are_asked_for(harness: Harness) -> None:
    harness.client.answer = [0, -1, 42]

    assert await harness.reader.beginning(TOPIC, 3) == 42
    assert await harness.reader.end(TOPIC, 3) == 42

    offset_requests = [request for _, request in harness.client.requests]
    assert all(isinstance(request, OffsetRequest) for request in offset_requests)
    assert [request._topics for request in offset_requests] == [
        [(TOPIC, [(3, -2)])],
        [(TOPIC, [(3, -1)])],
    ]
    assert [request._isolation_level for request in offset_requests] == [1, 1]


CALLS: dict[str, Callable[[LogReader], Any]] = {
    "fetch": lambda reader: reader.fetch(TOPIC, 3, 7),
    "beginning": lambda reader: reader.beginning(TOPIC, 3),
    "end": lambda reader: reader.end(TOPIC, 3),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(
    "error",
    [
        NotLeaderForPartitionError,
        LeaderNotAvailableError,
        UnknownTopicOrPartitionError,
        RequestTimedOutError,
    ],
)
async def test_an_answer_that_may_change_is_a_broker_that_is_away(
    harness: Harness, call: Callable[[LogReader], Any], error: Any
) -> None:
    harness.client.answer[0] = error.errno

    with pytest.raises(BrokerUnavailableError):
        await call(harness.reader)

    assert harness.client.refreshed == error.invalid_metadata


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("leader", [None, -1])
async def test_a_partition_without_a_leader_is_waited_for_with_new_metadata(
    harness: Harness, call: Callable[[LogReader], Any], leader: int | None
) -> None:
    harness.client.leader = leader

    with pytest.raises(BrokerUnavailableError):
        await call(harness.reader)

    assert harness.client.requests == []
    assert harness.client.refreshed == 1


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("error", [KafkaConnectionError("gone"), NodeNotReadyError("not yet")])
async def test_a_connection_that_fails_is_a_broker_that_is_away(
    harness: Harness, call: Callable[[LogReader], Any], error: Exception
) -> None:
    """Without new metadata a restore would ask the lost leader for ever, and not the new one."""
    harness.client.error = error

    with pytest.raises(BrokerUnavailableError):
        await call(harness.reader)

    assert harness.client.refreshed == 1


async def test_an_offset_that_is_not_in_the_log_is_an_error(harness: Harness) -> None:
    harness.client.answer = fetched(b"", code=OffsetOutOfRangeError.errno)

    with pytest.raises(OffsetOutOfRangeError):
        await harness.reader.fetch(TOPIC, 3, 7)


async def test_an_empty_answer_is_a_broker_that_is_away(harness: Harness) -> None:
    async def nothing(*_: Any, **__: Any) -> Any:
        return SimpleNamespace(topics=[])

    harness.client.send = nothing  # type: ignore[method-assign]

    with pytest.raises(BrokerUnavailableError):
        await harness.reader.fetch(TOPIC, 3, 7)


async def test_without_a_broker_the_reader_does_not_start_and_leaves_nothing_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def nobody(*_: object) -> None:
        return None

    monkeypatch.setattr(clients, "why_unusable", nobody)
    harness = Harness(monkeypatch)
    harness.client.error = KafkaConnectionError("nobody there")

    with pytest.raises(BrokerUnavailableError):
        await harness.reader.start()

    assert harness.client.closed == 1


async def test_a_reader_that_never_started_may_be_stopped() -> None:
    await LogReader(settings_with(), [TOPIC]).stop()
