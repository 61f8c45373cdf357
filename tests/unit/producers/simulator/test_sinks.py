"""The sinks of pings are tested over a scripted HTTP server and a scripted Kafka producer."""

from __future__ import annotations

import asyncio
import json
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from aiokafka.errors import MessageSizeTooLargeError

from producers import record_sink as sink_module
from producers.simulator import sinks as ping_sinks
from producers.simulator.delivery_stats import DeliveryStats
from producers.simulator.model import Ping
from producers.simulator.sinks import HttpPingSink, KafkaPingSink
from stream_app.contracts.partitioning import partition_of
from stream_app.contracts.polls import decode_poll_batch
from stream_app.domain.timestamps import SECOND
from stream_app.errors import StoreUptimeError
from stream_app.kafka import clients
from stream_app.settings import Settings
from tests.producer_double import ProducerDouble, SentBatch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

NOW = 1_710_072_000_000_000
IDS = [f"0f5c1a3e-9f2b-4b8e-8a6b-00000000000{number}" for number in range(10)]


def ping(store: int, instant: int = NOW, *, active: bool = True) -> Ping:
    return Ping(instant, store, instant, active)


def make_stats() -> tuple[DeliveryStats, list[Ping]]:
    recorded: list[Ping] = []
    return DeliveryStats(recorded.append, lambda: 0.0), recorded


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ping_sinks, "_WAIT_SECONDS", 0.0)
    monkeypatch.setattr(ping_sinks, "_LONGEST_WAIT_SECONDS", 0.0)


@dataclass
class Answer:
    status: int
    body: Any = None
    retry_after: str | None = None


HUNG_UP = Answer(0)
ALL = Answer(202, {"accepted": 2, "refused": 0, "items": []})


class Api:
    """Answers POSTs one after another, and records them."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.calls: list[tuple[str, Any]] = []
        self.at_once = 0
        self.most_at_once = 0
        self.three = asyncio.Event()
        self.go = asyncio.Event()
        self.go.set()

    async def handle(self, request: web.Request) -> web.Response:
        if request.method == "GET":
            return web.Response(text="ok")
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        if self.at_once == 3:
            self.three.set()
        await self.go.wait()
        self.at_once -= 1
        assert request.content_type == "application/json"
        self.calls.append((request.path, json.loads(await request.read())))
        answer = self.answers.pop(0)
        if answer is HUNG_UP:
            assert request.transport is not None
            request.transport.abort()
        headers = {"Retry-After": answer.retry_after} if answer.retry_after else {}
        if isinstance(answer.body, str):
            return web.Response(status=answer.status, text=answer.body, headers=headers)
        return web.json_response(answer.body, status=answer.status, headers=headers)


@pytest.fixture
async def api() -> AsyncIterator[Callable[..., Any]]:
    """Start an API that gives the answers: `await api(...)` returns it and its address."""
    servers: list[TestServer] = []

    async def start(*answers: Answer) -> tuple[Api, str]:
        made = Api(*answers)
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", made.handle)
        servers.append(TestServer(app))
        await servers[-1].start_server()
        return made, str(servers[-1].make_url("/"))

    yield start
    for server in servers:
        await server.close()


async def posted(
    address: str, *batches: list[Ping], **arguments: Any
) -> tuple[DeliveryStats, list[Ping]]:
    stats, recorded = make_stats()
    async with HttpPingSink(address, IDS, **arguments) as sink:
        for batch in batches:
            await sink.send(batch, stats)
        await sink.drain()
    return stats, recorded


async def test_one_ping_is_posted_to_its_store_and_several_are_posted_together(api: Any) -> None:
    server, address = await api(Answer(202, {}), ALL)
    pings = [ping(1, NOW + 1), ping(2, active=False), ping(3)]
    stats, recorded = await posted(address, pings[:1], pings[1:], max_in_flight=1)
    stamp = "2024-03-10T12:00:00"
    assert server.calls == [
        (f"/stores/{IDS[1]}/status", {"status": "active", "timestamp_utc": f"{stamp}.000001Z"}),
        (
            "/status",
            [
                {"store_id": IDS[2], "status": "inactive", "timestamp_utc": f"{stamp}Z"},
                {"store_id": IDS[3], "status": "active", "timestamp_utc": f"{stamp}Z"},
            ],
        ),
    ]
    assert recorded == pings
    assert stats.counts.acknowledged == 3
    assert not stats.in_flight


async def test_rejected_items_of_a_batch_are_counted_apart_from_accepted_ones(api: Any) -> None:
    items = [{"index": 1, "reason": "in the future"}]
    _, address = await api(Answer(202, {"accepted": 2, "refused": 1, "items": items}))
    pings = [ping(1), ping(2), ping(3)]
    stats, recorded = await posted(address, pings)
    assert recorded == [pings[0], pings[2]]
    assert stats.counts.rejected == 1
    assert stats.last_rejection == (2, "in the future")
    assert not stats.in_flight


async def test_each_ping_of_a_rejected_batch_is_rejected(api: Any) -> None:
    items = [{"index": index, "reason": "in the future"} for index in (0, 1)]
    _, address = await api(Answer(422, {"accepted": 0, "refused": 2, "items": items}))
    stats, recorded = await posted(address, [ping(1), ping(2)])
    assert recorded == []
    assert stats.counts.rejected == 2
    assert not stats.in_flight


async def test_a_single_ping_may_be_rejected(api: Any) -> None:
    _, address = await api(Answer(422, {"detail": "in the future"}))
    stats, recorded = await posted(address, [ping(1)])
    assert stats.last_rejection == (1, "422: in the future")
    assert recorded == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        "accepted",
        {"accepted": 3, "refused": 0, "items": []},
        {"accepted": 1, "refused": 1, "items": []},
        {"accepted": 1, "refused": 1, "items": [{"index": 2, "reason": "?"}]},
        {"accepted": 1, "refused": 1, "items": [{"index": True, "reason": "?"}]},
    ],
)
async def test_an_answer_that_does_not_add_up_acknowledges_nothing(api: Any, body: Any) -> None:
    _, address = await api(Answer(202, body))
    stats, recorded = await posted(address, [ping(1), ping(2)])
    assert recorded == []
    assert stats.counts.failed == 2
    assert stats.last_error.startswith("the counts in the answer are wrong: ")


@pytest.mark.parametrize(
    "trouble",
    [
        Answer(429, {"detail": "too much waits"}, "1"),
        Answer(503, {"detail": "the broker is out of reach"}, "5"),
        Answer(503, "gone", "soon"),
        Answer(500, {}),
        Answer(502, "<h1>Bad gateway</h1>"),
        HUNG_UP,
    ],
)
async def test_a_request_that_failed_temporarily_is_sent_again(api: Any, trouble: Answer) -> None:
    server, address = await api(trouble, trouble, ALL)
    pings = [ping(1), ping(2)]
    stats, recorded = await posted(address, pings)
    assert recorded == pings
    assert stats.counts.retried == 4
    assert server.calls[0] == server.calls[1] == server.calls[2]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7.0), (None, 1.0), ("", 1.0), ("Wed, 21 Oct 2026 07:28:00 GMT", 1.0), ("9999", 30.0)],
)
async def test_the_next_attempt_waits_for_the_seconds_of_retry_after(
    api: Any, monkeypatch: pytest.MonkeyPatch, text: str | None, seconds: float
) -> None:
    monkeypatch.setattr(ping_sinks, "_WAIT_SECONDS", 1.0)
    monkeypatch.setattr(ping_sinks, "_LONGEST_WAIT_SECONDS", 30.0)
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(ping_sinks, "sleep", sleep)
    _, address = await api(Answer(503, {}, text), ALL)
    await posted(address, [ping(1), ping(2)])
    assert waited == [seconds]


async def test_a_batch_that_is_rejected_as_a_whole_has_failed(api: Any) -> None:
    _, address = await api(Answer(413, {"title": "too large"}))
    stats, recorded = await posted(address, [ping(1), ping(2)])
    assert stats.counts.failed == 2
    assert stats.last_error == "413: too large"
    assert recorded == []


@pytest.mark.parametrize("status", [404, 405])
@pytest.mark.parametrize("pings", [[ping(1)], [ping(1), ping(2)]])
async def test_an_api_without_live_pings_is_one_clear_error(
    api: Any, status: int, pings: list[Ping]
) -> None:
    _, address = await api(Answer(status, {}), Answer(status, {}))
    with pytest.raises(StoreUptimeError, match=r"accepts no pings .*: say --via kafka"):
        await posted(address, pings)


async def test_no_more_is_sent_to_an_api_without_live_pings(api: Any) -> None:
    server, address = await api(*[Answer(404, {})] * 10)
    with pytest.raises(StoreUptimeError, match="accepts no pings"):
        await posted(address, *[[ping(1)]] * 10, max_in_flight=1)
    assert len(server.calls) == 1


async def test_requests_in_flight_are_bounded(api: Any) -> None:
    server, address = await api(*[ALL] * 9)
    server.go.clear()
    stats, _ = make_stats()
    async with HttpPingSink(address, IDS, max_in_flight=3) as sink:

        async def send_all() -> None:
            for store in range(9):
                await sink.send([ping(store), ping(store, NOW + 1)], stats)

        sending = asyncio.create_task(send_all())
        await server.three.wait()
        # a fourth request would have arrived by then
        await asyncio.sleep(0.05)
        assert server.at_once == 3
        server.go.set()
        await sending
        await sink.drain()
    assert server.most_at_once == 3
    assert stats.counts.acknowledged == 18


async def test_a_ping_without_an_answer_at_the_end_stays_in_flight(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ping_sinks, "DRAIN_SECONDS", 0.05)
    server, address = await api(ALL)
    server.go.clear()
    stats, recorded = await posted(address, [ping(1), ping(2)])
    assert stats.in_flight == {ping(1), ping(2)}
    assert recorded == []
    server.go.set()


async def test_without_an_api_one_line_says_what_to_do() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(StoreUptimeError) as raised:
        await posted(address)
    assert str(raised.value).startswith(f"no store-uptime API answers at {address} (")
    assert str(raised.value).endswith("name another with --api, or say --via kafka")
    assert "\n" not in str(raised.value)


# -- Kafka


class AnsweringProducer(ProducerDouble):
    """Acknowledges at once with the time of the test, unless it is silent or has an error."""

    def __init__(self) -> None:
        super().__init__()
        self.silent = False
        self.error: Exception | None = None

    def on_batch(self, batch: SentBatch) -> None:
        for key, _ in batch.records:
            assert batch.partition == partition_of(key, SETTINGS.partitions)
        if self.error is not None:
            batch.future.set_exception(self.error)
        elif not self.silent:
            batch.acknowledge(NOW // 1000)


@pytest.fixture
def producer(monkeypatch: pytest.MonkeyPatch) -> AnsweringProducer:
    double = AnsweringProducer()
    monkeypatch.setattr(sink_module, "producer", lambda *_args, **_kwargs: double)
    return double


SETTINGS = Settings.from_environment({}, kafka_bootstrap="127.0.0.1:9")


async def published(*batches: list[Ping]) -> tuple[DeliveryStats, list[Ping]]:
    stats, recorded = make_stats()
    async with KafkaPingSink(SETTINGS, IDS) as sink:
        for batch in batches:
            await sink.send(batch, stats)
        await sink.drain()
    return stats, recorded


async def test_stores_publish_single_polls_and_several_together_as_one_batch(
    producer: AnsweringProducer,
) -> None:
    pings = [ping(1), ping(2, NOW - 2), ping(2, NOW - 1, active=False), ping(3, active=False)]
    stats, recorded = await published(pings)
    sent = {key: value for topic, key, value in producer.sent if topic == "store-status"}
    values = [sent[IDS[store].encode()] for store in (1, 2, 3)]
    assert len(sent) == 3
    assert json.loads(values[0]) == {
        "store_id": IDS[1],
        "status": "active",
        "timestamp_utc": "2024-03-10T12:00:00Z",
    }
    assert json.loads(values[1])["polls"] == [[NOW - 2, 1], [NOW - 1, 0]]
    assert decode_poll_batch(values[2])[0].polls == [(NOW, False)]
    assert sorted(recorded) == sorted(pings)
    assert not stats.in_flight


async def test_a_poll_that_the_worker_will_reject_is_rejected_by_the_time_of_the_broker(
    producer: AnsweringProducer,
) -> None:
    latest = NOW + SETTINGS.future_tolerance
    pings = [ping(1, latest), ping(1, latest + 1), ping(2, latest + 5 * SECOND)]
    stats, recorded = await published(pings)
    assert len(producer.sent) == 2
    assert recorded == pings[:1]
    assert stats.counts.rejected == 2
    assert stats.last_rejection is not None
    assert "lies ahead of the clock" in stats.last_rejection[1]


async def test_a_lost_broker_does_not_keep_it_from_ending(
    producer: AnsweringProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ping_sinks, "DRAIN_SECONDS", 0.05)
    monkeypatch.setattr(clients, "CLOSING_SECONDS", 0.05)
    producer.silent = True
    stats, recorded = await published([ping(1), ping(2)])
    assert producer.stopped
    assert stats.in_flight == {ping(1), ping(2)}
    assert recorded == []


async def test_a_record_that_is_rejected_for_good_ends_the_run(producer: AnsweringProducer) -> None:
    producer.error = MessageSizeTooLargeError("too large")
    with pytest.raises(StoreUptimeError, match="refuses a record on store-status"):
        await published([ping(1)])
