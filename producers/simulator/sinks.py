"""Delivers pings to the product by its HTTP API or directly to Kafka."""

from __future__ import annotations

import asyncio
from asyncio import sleep
from collections import defaultdict
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Self

import aiohttp
import orjson

from producers.record_sink import RecordSink
from stream_app.contracts import api_paths
from stream_app.contracts.fields import shown, status_name
from stream_app.contracts.polls import ahead_of_clock, encode_poll, encode_poll_batch
from stream_app.contracts.topics import STORE_STATUS
from stream_app.domain.timestamps import format_instant
from stream_app.errors import StoreUptimeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from producers.simulator.delivery_stats import DeliveryStats
    from producers.simulator.model import Ping
    from stream_app.kafka.batch_producer import BatchMetadata
    from stream_app.settings import Settings

MAX_REQUESTS_IN_FLIGHT: Final = 16
"""Most HTTP requests in flight; with MAX_BATCH pings each they bound the memory."""

REQUEST_SECONDS: Final = 30.0
"""A request without an answer after this time is sent again."""

DRAIN_SECONDS: Final = 10.0
"""Longest wait for the answers in flight at the end."""

_WAIT_SECONDS: Final = 1.0
_LONGEST_WAIT_SECONDS: Final = 30.0
_NO_TIME_LIMIT: Final = 10 * 365 * 24 * 3600.0


class HttpPingSink:
    """An async context that posts one ping to its store's path, or several to `/status`.

    A request that gets 429, 5xx or no answer is sent again: polls are a set, so a repeated
    poll changes nothing.

    Args:
        address: address of the API, such as `http://127.0.0.1:8000`.
        store_ids: the id of each store number.
        max_in_flight: most requests in flight.

    Raises:
        StoreUptimeError: no API answers when the context is entered.
    """

    def __init__(
        self, address: str, store_ids: Sequence[str], *, max_in_flight: int = MAX_REQUESTS_IN_FLIGHT
    ) -> None:
        self._address = address.rstrip("/")
        self._store_ids = store_ids
        self._capacity = asyncio.Semaphore(max_in_flight)
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: StoreUptimeError | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS))
        try:
            async with self._session.get(f"{self._address}/healthz"):
                return self
        except (aiohttp.ClientError, TimeoutError) as error:
            await self._session.close()
            raise StoreUptimeError(
                f"no store-uptime API answers at {self._address} ({error}): start one with "
                "`store-uptime up`, name another with --api, or say --via kafka"
            ) from error

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._session.close()

    async def send(self, pings: Sequence[Ping], stats: DeliveryStats) -> None:
        """Post pings, once fewer than `max_in_flight` requests are in flight.

        Raises:
            StoreUptimeError: the API accepts no pings at all.
        """
        await self._capacity.acquire()
        if self._failure is not None:
            self._capacity.release()
            raise self._failure
        stats.record_sent(pings)
        task = asyncio.create_task(self._deliver(pings, stats))
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def drain(self) -> None:
        """Wait for the answers, for DRAIN_SECONDS at the most.

        Raises:
            StoreUptimeError: the API accepts no pings at all.
        """
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=DRAIN_SECONDS)
        if self._failure is not None:
            raise self._failure

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._capacity.release()
        if task.cancelled() or (error := task.exception()) is None:
            return
        if isinstance(error, StoreUptimeError):
            self._failure = error
        else:
            self._failure = StoreUptimeError(f"cannot post pings: {error!r}")

    async def _deliver(self, pings: Sequence[Ping], stats: DeliveryStats) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        path, body = self._request(pings)
        while True:
            wait = _WAIT_SECONDS
            try:
                async with self._session.post(
                    self._address + path, data=body, headers={"Content-Type": "application/json"}
                ) as response:
                    status = response.status
                    content = _json(await response.read())
                    wait = _retry_after(response.headers.get("Retry-After"))
            except (aiohttp.ClientError, TimeoutError) as error:
                reason = f"no answer from {self._address} ({str(error) or type(error).__name__})"
            else:
                # the answer to a batch without an accepted ping is 422 and lists its items too
                if status == HTTPStatus.ACCEPTED or "items" in content:
                    self._record_answer(pings, content, stats, loop.time() - started)
                    return
                reason = f"{status}: {content.get('detail') or content.get('title') or ''}"
                if status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
                    raise StoreUptimeError(
                        f"the API at {self._address} accepts no pings (POST {path}: {status}): "
                        "say --via kafka"
                    )
                if status < 500 and status != HTTPStatus.TOO_MANY_REQUESTS:
                    if len(pings) == 1:
                        stats.record_rejected(pings[0], reason)
                    else:
                        stats.record_failed(pings, reason)
                    return
            stats.record_retry(pings, reason)
            await sleep(wait)

    def _request(self, pings: Sequence[Ping]) -> tuple[str, bytes]:
        if len(pings) == 1:
            path = api_paths.STORE_STATUS.format(store_id=self._store_ids[pings[0].store])
            return path, orjson.dumps(_content(pings[0]))
        return api_paths.STATUS, orjson.dumps(
            [{"store_id": self._store_ids[ping.store], **_content(ping)} for ping in pings]
        )

    def _record_answer(
        self, pings: Sequence[Ping], content: dict[str, Any], stats: DeliveryStats, seconds: float
    ) -> None:
        if len(pings) == 1:
            stats.record_acknowledged(pings, seconds)
            return
        rejected: dict[int, str] = {}
        for item in content.get("items") or ():
            match item:
                case {"index": int() as index, "reason": reason} if type(index) is int:
                    rejected[index] = str(reason)
        accepted = [ping for index, ping in enumerate(pings) if index not in rejected]
        if (content.get("accepted"), content.get("refused")) != (
            len(accepted),
            len(pings) - len(accepted),
        ):
            stats.record_failed(pings, f"the counts in the answer are wrong: {shown(content)}")
            return
        for index, reason in rejected.items():
            stats.record_rejected(pings[index], reason)
        stats.record_acknowledged(accepted, seconds)


class KafkaPingSink:
    """An async context that publishes each ping as a record of its own, as a store would.

    Pings of one store that are sent together, as after an outage of its line, make one batch
    record. It waits without limit for a lost broker.

    Args:
        settings: name the brokers and the tolerance for the dates of polls.
        store_ids: the id of each store number.
    """

    def __init__(self, settings: Settings, store_ids: Sequence[str]) -> None:
        self._sink = RecordSink(settings, time_limit=_NO_TIME_LIMIT)
        self._tolerance = settings.future_tolerance
        self._store_ids = store_ids

    async def __aenter__(self) -> Self:
        await self._sink.__aenter__()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        # with records in flight its exit would wait for a lost broker without end
        unfinished = TimeoutError if self._sink.in_flight else None
        await self._sink.__aexit__(kind or unfinished, *rest)

    async def send(self, pings: Sequence[Ping], stats: DeliveryStats) -> None:
        """Publish pings; waits while the buffers are full.

        Raises:
            StoreUptimeError: a broker rejects a record for good.
        """
        by_store: defaultdict[int, list[Ping]] = defaultdict(list)
        for ping in pings:
            by_store[ping.store].append(ping)
        loop = asyncio.get_running_loop()
        for store, store_pings in by_store.items():
            store_id = self._store_ids[store]
            if len(store_pings) == 1:
                value = encode_poll(store_id, store_pings[0].instant, active=store_pings[0].active)
            else:
                value = encode_poll_batch(store_id, [(p.instant, p.active) for p in store_pings])
            stats.record_sent(store_pings)
            on_acknowledged = partial(self._acknowledged, store_pings, stats, loop.time())
            await self._sink.send(
                STORE_STATUS,
                store_id.encode(),
                value,
                rows=len(store_pings),
                on_acknowledged=on_acknowledged,
            )

    async def drain(self) -> None:
        """Wait for the acknowledgements, for DRAIN_SECONDS at the most.

        Raises:
            StoreUptimeError: a broker rejects a record for good.
        """
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                await self._sink.drain()
        except TimeoutError:
            # the pings without an answer stay in flight in the statistics
            return

    def _acknowledged(
        self, pings: Sequence[Ping], stats: DeliveryStats, sent_at: float, metadata: BatchMetadata
    ) -> None:
        seconds = asyncio.get_running_loop().time() - sent_at
        # the worker also compares with the broker's time of the record
        appended_at = metadata.append_time
        accepted = []
        for ping in pings:
            reason = ahead_of_clock(ping.instant, appended_at, self._tolerance)
            if reason is None:
                accepted.append(ping)
            else:
                stats.record_rejected(ping, reason)
        stats.record_acknowledged(accepted, seconds)


def _content(ping: Ping) -> dict[str, str]:
    return {"status": status_name(ping.active), "timestamp_utc": format_instant(ping.instant)}


def _json(body: bytes) -> dict[str, Any]:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return content if isinstance(content, dict) else {}


def _retry_after(text: str | None) -> float:
    if text is None or not text.isascii() or not text.isdigit():
        return _WAIT_SECONDS
    return min(float(text), _LONGEST_WAIT_SECONDS)
