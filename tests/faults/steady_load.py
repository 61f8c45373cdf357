"""Sends polls over HTTP at a constant rate: most of them in batches, a tenth one by one."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import aiohttp

from tests.faults.load import post_until_accepted
from tests.faults.stores import other_hours, other_timezone

if TYPE_CHECKING:
    import random
    from collections.abc import Coroutine, Sequence

    from stream_app.settings import Settings
    from tests.faults.ledger import Ledger, Poll
    from tests.faults.stores import Store

SPAN: Final = timedelta(days=6)
"""The longest time from a poll to the reference time; every poll counts in the reports."""

_TICK_SECONDS: Final = 0.2
_SINGLE_SHARE: Final = 0.1
_MAX_IN_FLIGHT: Final = 200
"""The largest number of requests in flight; where it is reached, fewer polls are sent."""

_CHANGE_SECONDS: Final = 1.0
_DRAIN_SECONDS: Final = 120.0


class SteadyLoad:
    """Sends until `stop`, and each fact again until the answer is 202.

    Args:
        settings: the settings, with the address of the API.
        stores: the stores whose facts are sent.
        ledger: the facts that were sent, and those that were answered 202.
        rate: polls a second.
        randomness: chooses stores, times and statuses.
    """

    def __init__(
        self,
        settings: Settings,
        stores: Sequence[Store],
        ledger: Ledger,
        *,
        rate: int,
        randomness: random.Random,
    ) -> None:
        self._address = f"http://{settings.api_host}:{settings.api_port}"
        self._stores = stores
        self._ledger = ledger
        self._rate = rate
        self._randomness = randomness
        self._stopping = asyncio.Event()
        self._sending: asyncio.Task[None] | None = None
        self._requests: set[asyncio.Task[None]] = set()

    async def introduce(self) -> None:
        """Send the hours, the timezone and one poll of every store."""
        async with self._http() as self._client:
            for store in self._stores:
                if store.timezone is not None:
                    await self._put_timezone(store, store.timezone)
                if store.hours is not None:
                    await self._put_hours(store, store.hours)
            await self._post_many([(store, self._some_poll(store)) for store in self._stores])

    def start(self) -> None:
        """Start to send."""
        self._sending = asyncio.create_task(self._send())

    def check(self) -> None:
        """Raise the error that ended the sender, if it has ended."""
        if self._sending is not None and self._sending.done():
            self._sending.result()

    async def stop(self) -> None:
        """Send nothing new, and wait until every request is answered 202."""
        self._stopping.set()
        if self._sending is not None:
            async with asyncio.timeout(_DRAIN_SECONDS):
                await self._sending

    async def abandon(self) -> None:
        """Cancel all requests at once."""
        tasks = [*self._requests, *([self._sending] if self._sending else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _send(self) -> None:
        clock = asyncio.get_running_loop().time
        async with self._http() as self._client, asyncio.TaskGroup() as requests:
            requests.create_task(self._change_facts())
            due = 0.0
            before = clock()
            while not self._stopping.is_set():
                now = clock()
                # polls that could not be sent in time are not sent later either
                due = min(due + (now - before) * self._rate, self._rate)
                before = now
                if len(self._requests) < _MAX_IN_FLIGHT:
                    count, due = int(due), due % 1
                    for request in self._posts(count):
                        task = requests.create_task(request)
                        self._requests.add(task)
                        task.add_done_callback(self._requests.discard)
                await asyncio.sleep(_TICK_SECONDS)

    def _posts(self, count: int) -> list[Coroutine[None, None, None]]:
        chosen = self._randomness.choices(self._stores, k=count)
        polls = [(store, self._some_poll(store)) for store in chosen]
        singles = round(count * _SINGLE_SHARE)
        posts = [self._post_one(store, poll) for store, poll in polls[:singles]]
        return [*posts, self._post_many(polls[singles:])] if count > singles else posts

    async def _post_one(self, store: Store, poll: Poll) -> None:
        instant, status = poll
        body = {"status": status, "timestamp_utc": instant.isoformat()}
        self._ledger.add_sent(store.id, [poll])
        await post_until_accepted(
            lambda: self._client.post(f"/stores/{store.id}/status", json=body)
        )
        self._ledger.add_acknowledged(store.id, [poll])

    async def _post_many(self, polls: list[tuple[Store, Poll]]) -> None:
        items = [
            {"store_id": store.id, "status": status, "timestamp_utc": instant.isoformat()}
            for store, (instant, status) in polls
        ]
        body = json.dumps(items)
        for store, poll in polls:
            self._ledger.add_sent(store.id, [poll])
        answer = await post_until_accepted(
            lambda: self._client.post(
                "/status", data=body, headers={"Content-Type": "application/json"}
            )
        )
        assert (answer["accepted"], answer["refused"]) == (len(items), 0), answer
        for store, poll in polls:
            self._ledger.add_acknowledged(store.id, [poll])

    async def _change_facts(self) -> None:
        """Change hours and timezones one after the other, since the last one of a store counts."""
        while not self._stopping.is_set():
            store = self._randomness.choice(self._stores)
            if self._randomness.random() < 0.5:
                await self._put_timezone(store, other_timezone(self._randomness))
            else:
                await self._put_hours(store, other_hours(self._randomness))
            await asyncio.sleep(_CHANGE_SECONDS)

    async def _put_timezone(self, store: Store, timezone: str) -> None:
        path, body = f"/stores/{store.id}/timezone", {"timezone_str": timezone}
        await post_until_accepted(lambda: self._client.put(path, json=body))
        self._ledger.timezones[store.id] = timezone

    async def _put_hours(self, store: Store, hours: list[tuple[int, str, str]]) -> None:
        path, body = f"/stores/{store.id}/business_hours", {"hours": hours}
        await post_until_accepted(lambda: self._client.put(path, json=body))
        self._ledger.hours[store.id] = hours

    def _some_poll(self, store: Store) -> Poll:
        instant = store.reference - SPAN * self._randomness.random()
        return instant, "active" if self._randomness.random() < 0.6 else "inactive"

    def _http(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(self._address, timeout=aiohttp.ClientTimeout(total=30))
