"""Sends facts in several ways at the same time, and each until it is acknowledged."""

from __future__ import annotations

import asyncio
import json
import random
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from stream_app.contracts.business_hours import encode_hours
from stream_app.contracts.polls import encode_poll_batch
from stream_app.contracts.stores import encode_timezone
from stream_app.contracts.topics import STORE_BUSINESS_HOURS, STORE_STATUS, STORE_TIMEZONES
from stream_app.kafka.clients import connection, producer
from tests.faults.patience import RenewedProducer
from tests.faults.stores import other_hours, other_timezone

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from stream_app.settings import Settings
    from tests.faults.ledger import Ledger, Poll
    from tests.faults.stores import Hours, Store

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_RETRY_SECONDS: Final = 0.2
_PAUSE: Final = 0.1
"""Seconds between two sends of one sender: some 120 records a second from all of them. A worker on
a busy machine applies as many: a backlog is none of the faults that are tested here."""
_DRAIN_SECONDS: Final = 120.0

_FORMATS_OF_TIMES: Final[tuple[Callable[[datetime], str], ...]] = (
    lambda instant: instant.isoformat(),
    lambda instant: instant.strftime("%Y-%m-%d %H:%M:%S.%f UTC"),
    lambda instant: instant.astimezone(timezone(timedelta(hours=5, minutes=30))).isoformat(),
    lambda instant: instant.isoformat().replace("+00:00", "Z"),
)


class Load:
    """Runs several senders at the same time until `stop`.

    Args:
        settings: the settings of the scenario, with its broker.
        stores: the stores whose facts are sent; `introduce` adds to them.
        ledger: the facts that were sent and acknowledged.
        seed: the same seed gives the same facts, in another order.
    """

    def __init__(
        self, settings: Settings, stores: list[Store], ledger: Ledger, *, seed: int = 1
    ) -> None:
        self._settings = settings
        self._stores = stores
        self._ledger = ledger
        self._randomness = random.Random(seed)
        self._stopping = asyncio.Event()
        self._senders: list[asyncio.Task[None]] = []

    async def introduce(self, stores: Sequence[Store]) -> None:
        """Send the first facts of new stores; from now on all senders send polls of them."""
        async with self._our_producer() as kafka:
            for store in stores:
                if store.timezone is not None:
                    await self._change_timezone(kafka, store, store.timezone)
                if store.hours is not None:
                    await self._change_hours(kafka, store, store.hours)
            await asyncio.gather(*(self._send_batch(kafka, store, 40) for store in stores))
        self._stores += stores

    def start(self) -> None:
        """Start all senders; a scenario may do so again after `stop`."""
        self._stopping.clear()
        senders = (
            self._batches,
            self._singles,
            self._changes,
            self._http_polls,
            self._http_batches,
        )
        self._senders = [asyncio.create_task(sender()) for sender in senders]

    async def stop(self) -> None:
        """Stop the senders, and wait until all that they have sent is acknowledged."""
        self._stopping.set()
        async with asyncio.timeout(_DRAIN_SECONDS):
            await asyncio.gather(*self._senders)
        assert not self._ledger.in_flight
        self._senders = []

    async def abandon(self) -> None:
        """Cancel the senders at once."""
        for sender in self._senders:
            sender.cancel()
        await asyncio.gather(*self._senders, return_exceptions=True)

    async def wait_until_acknowledged(self, polls: int) -> None:
        """Wait until `polls` more polls are acknowledged; scenarios measure time by it."""
        goal = self._ledger.poll_count + polls
        while self._ledger.poll_count < goal:
            for sender in self._senders:
                if sender.done():
                    sender.result()
            await asyncio.sleep(0.02)

    async def _batches(self) -> None:
        """Send as `replay` does: batches of one store; some polls are in several batches."""
        async with self._our_producer() as kafka:
            while not self._stopping.is_set():
                some = self._randomness.sample(self._stores, 4)
                await asyncio.gather(
                    *(self._send_batch(kafka, s, self._randomness.randint(1, 40)) for s in some)
                )
                await asyncio.sleep(_PAUSE)

    async def _singles(self) -> None:
        """Send as a store does on the topic: JSON and partitioner of its own, simple retries."""
        async with self._foreign_producer() as kafka:
            while not self._stopping.is_set():
                some = self._randomness.choices(self._stores, k=4)
                await asyncio.gather(*(self._send_single(kafka, store) for store in some))
                await asyncio.sleep(_PAUSE)

    async def _http_polls(self) -> None:
        """Send as a store does over HTTP: one poll in each request."""
        async with self._http() as http:
            while not self._stopping.is_set():
                some = self._randomness.choices(self._stores, k=4)
                await asyncio.gather(*(self._post_one(http, store) for store in some))
                await asyncio.sleep(_PAUSE)

    async def _http_batches(self) -> None:
        """Send as a gateway of many stores does: requests with an array, or lines, of polls."""
        async with self._http() as http:
            while not self._stopping.is_set():
                polls = {
                    store.id: self._some_polls(store, self._randomness.randint(1, 3))
                    for store in self._randomness.sample(self._stores, 10)
                }
                await self._post_many(http, polls)
                await asyncio.sleep(_PAUSE)

    async def _changes(self) -> None:
        """Change hours and timezones one after the other, since the last one of a store counts."""
        async with self._our_producer() as kafka:
            while not self._stopping.is_set():
                store = self._randomness.choice(self._stores)
                if self._randomness.random() < 0.5:
                    await self._change_timezone(kafka, store, other_timezone(self._randomness))
                else:
                    await self._change_hours(kafka, store, other_hours(self._randomness))
                await asyncio.sleep(_PAUSE)

    async def _send_batch(self, kafka: RenewedProducer, store: Store, count: int) -> None:
        polls = self._some_polls(store, count)
        value = encode_poll_batch(
            store.id,
            [(_microseconds(instant), status == "active") for instant, status in polls],
        )
        await self._send_polls(
            store, polls, lambda: kafka.send_and_wait(STORE_STATUS.name, value, store.id.encode())
        )

    async def _send_single(self, kafka: RenewedProducer, store: Store) -> None:
        (instant, status), *_ = self._some_polls(store, 1)
        text = self._randomness.choice(_FORMATS_OF_TIMES)(instant)
        spelling = self._randomness.choice((status, status.upper(), f" {status}"))
        value = json.dumps({"timestamp_utc": text, "status": spelling, "store_id": store.id})
        # one client in twenty has a partitioner of its own
        partition = (
            self._randomness.randrange(self._settings.partitions)
            if self._randomness.random() < 0.05
            else None
        )
        await self._send_polls(
            store,
            [(instant, status)],
            lambda: kafka.send_and_wait(
                STORE_STATUS.name, value.encode(), store.id.encode(), partition=partition
            ),
        )

    async def _post_one(self, http: aiohttp.ClientSession, store: Store) -> None:
        (instant, status), *_ = self._some_polls(store, 1)
        body = {"status": status, "timestamp_utc": instant.isoformat()}
        self._ledger.add_sent(store.id, [(instant, status)])
        await post_until_accepted(lambda: http.post(f"/stores/{store.id}/status", json=body))
        self._ledger.add_acknowledged(store.id, [(instant, status)])

    async def _post_many(self, http: aiohttp.ClientSession, polls: dict[str, list[Poll]]) -> None:
        items = [
            {"store_id": store_id, "status": status, "timestamp_utc": instant.isoformat()}
            for store_id, store_polls in polls.items()
            for instant, status in store_polls
        ]
        self._randomness.shuffle(items)
        if self._randomness.random() < 0.5:
            body, media = json.dumps(items), "application/json"
        else:
            body, media = "\n".join(map(json.dumps, items)), "application/x-ndjson"
        for store_id, store_polls in polls.items():
            self._ledger.add_sent(store_id, store_polls)
        answer = await post_until_accepted(
            lambda: http.post("/status", data=body, headers={"Content-Type": media})
        )
        assert (answer["accepted"], answer["refused"]) == (len(items), 0), answer
        for store_id, store_polls in polls.items():
            self._ledger.add_acknowledged(store_id, store_polls)

    def _some_polls(self, store: Store, count: int) -> list[Poll]:
        """Return new polls in random order, sometimes with one that was sent before."""
        randomness = self._randomness
        polls = [(_new_instant(store, randomness), _status(randomness)) for _ in range(count)]
        known = self._ledger.acknowledged[store.id]
        if known and randomness.random() < 0.2:
            instant, status = randomness.choice(list(known))
            # the same poll again, or another status at the same instant
            polls.append((instant, status if randomness.random() < 0.8 else _status(randomness)))
        return polls

    async def _send_polls(
        self, store: Store, polls: list[Poll], send: Callable[[], Awaitable[Any]]
    ) -> None:
        self._ledger.add_sent(store.id, polls)
        await _send_until_acknowledged(send)
        self._ledger.add_acknowledged(store.id, polls)

    async def _change_timezone(
        self, kafka: RenewedProducer, store: Store, timezone_name: str
    ) -> None:
        value = encode_timezone(store.id, timezone_name)
        await _send_until_acknowledged(
            lambda: kafka.send_and_wait(STORE_TIMEZONES.name, value, store.id.encode())
        )
        self._ledger.timezones[store.id] = timezone_name

    async def _change_hours(self, kafka: RenewedProducer, store: Store, hours: Hours) -> None:
        value = encode_hours(store.id, hours)
        await _send_until_acknowledged(
            lambda: kafka.send_and_wait(STORE_BUSINESS_HOURS.name, value, store.id.encode())
        )
        self._ledger.hours[store.id] = hours

    def _http(self) -> aiohttp.ClientSession:
        address = f"http://{self._settings.api_host}:{self._settings.api_port}"
        return aiohttp.ClientSession(address, timeout=aiohttp.ClientTimeout(total=15))

    def _our_producer(self) -> RenewedProducer:
        """Make the producer of our own programs: idempotent, so a retry changes nothing."""
        return RenewedProducer(self._settings, lambda: producer(self._settings, linger_ms=5))

    def _foreign_producer(self) -> RenewedProducer:
        """Make the producer of another client: its retry may write a record twice."""
        return RenewedProducer(
            self._settings,
            lambda: AIOKafkaProducer(
                **connection(self._settings), acks="all", request_timeout_ms=5000
            ),
        )


async def _send_until_acknowledged(send: Callable[[], Awaitable[Any]]) -> None:
    while True:
        try:
            await send()
        except KafkaError:
            await asyncio.sleep(_RETRY_SECONDS)
        else:
            return


async def post_until_accepted(post: Callable[[], Any]) -> dict[str, Any]:
    """Post until the answer is 202; after 429, 503 or no answer, try again a little later."""
    while True:
        try:
            async with post() as response:
                content: dict[str, Any] = await response.json(content_type=None)
                if response.status == 202:
                    return content
                assert response.status in {429, 503}, (response.status, content)
        except (aiohttp.ClientError, TimeoutError):
            pass
        await asyncio.sleep(_RETRY_SECONDS)


def _new_instant(store: Store, randomness: random.Random) -> datetime:
    instant = store.some_instant(randomness)
    if randomness.random() < 0.3:
        # many clients poll at full minutes: then several polls have the same instant
        instant = instant.replace(second=0, microsecond=0)
    if randomness.random() < 0.05:
        instant = store.reference - randomness.choice((timedelta(0), timedelta(hours=1)))
    return instant


def _status(randomness: random.Random) -> str:
    return "active" if randomness.random() < 0.6 else "inactive"


def _microseconds(instant: datetime) -> int:
    return (instant - _EPOCH) // timedelta(microseconds=1)
