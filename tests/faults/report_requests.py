"""Reports as clients ask for them, over HTTP and straight on the topic, while things break."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import aiohttp

from stream_app.contracts.report_requests import ReportRequest, encode_request
from stream_app.contracts.topics import REPORT_REQUESTS
from stream_app.domain.timestamps import SECOND
from stream_app.kafka.clients import producer
from tests.faults.patience import connected

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from tests.faults.deployment import Deployment
    from tests.faults.ledger import Ledger
    from tests.faults.stores import Store

_AGAIN: Final = 0.25
_BEYOND_DEADLINE: Final = 60.0
"""Seconds after the deadline in which the last request has to end, restarts included."""

_BEYOND_DEADLINE_OF_ONE: Final = 15.0
"""Seconds in which any request ends after its deadline, while an API and a broker run."""


@dataclass(slots=True)
class Outcome:
    """How a request ended.

    Attributes:
        store: whose report it is.
        status: `complete` or `failed`.
        content: the JSON answer: the figures, or the reason of the failure.
        seconds: from asking to the end, as the client saw it.
        running: from the acceptance of the request to the end.
    """

    store: Store
    status: str
    content: dict[str, Any]
    seconds: float
    running: float


class Client:
    """A patient HTTP client: it asks again when nobody answers, or when it is told to."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            self._address, timeout=aiohttp.ClientTimeout(total=15)
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def trigger(self, store: Store, *, key: str | None = None) -> str:
        """The id of the accepted request for a store's report at its reference time."""
        return await self.trigger_at(store.id, store.reference, key=key)

    async def trigger_at(
        self, store_id: str, reference: datetime, *, key: str | None = None
    ) -> str:
        """The id of the accepted request.

        Without a key of the caller's it makes one of its own: a lost answer is asked for again
        and must not become a second report.
        """
        headers = {"Idempotency-Key": key or str(uuid.uuid4())}
        body = {"reference_time": reference.isoformat()}
        while True:
            status, content = await self.ask(
                "POST", f"/trigger_report/{store_id}", json=body, headers=headers
            )
            if status == 202:
                return str(content["report_id"])
            assert status in {0, 429, 503}, (status, content)
            await asyncio.sleep(_AGAIN)

    async def finished(self, report_id: str, *, known: bool = True) -> tuple[str, dict[str, Any]]:
        """Wait for the end: `complete` or `failed`, and the JSON answer.

        Args:
            report_id: the report.
            known: False where the API may not have read the request yet.
        """
        while True:
            status, content = await self.ask(
                "GET", f"/get_report/{report_id}", headers={"Accept": "application/json"}
            )
            if status == 200:
                return "complete", content
            if status == 410:
                return "failed", content
            assert status in {0, 202, 503} or (status == 404 and not known), (status, content)
            await asyncio.sleep(_AGAIN)

    async def ask(self, method: str, path: str, **arguments: Any) -> tuple[int, dict[str, Any]]:
        """Status and content of an answer; status 0: there was none."""
        try:
            async with self._session.request(method, path, **arguments) as response:
                return response.status, await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError) as error:
            return 0, {"error": repr(error)}


class ReportRequests:
    """Asks for one report after another until `finish`, and holds each to what it must cover."""

    def __init__(
        self, product: Deployment, stores: Sequence[Store], ledger: Ledger, *, seed: int = 2
    ) -> None:
        self._product = product
        self._stores = stores
        self._ledger = ledger
        self._randomness = random.Random(seed)
        self._stopping = asyncio.Event()
        self._asking: asyncio.Task[None] | None = None
        self._waiting: set[asyncio.Task[None]] = set()
        self.outcomes: list[Outcome] = []
        self.wrong: list[str] = []

    def start(self) -> None:
        """Begin to ask, some three times a second; again after `finish`, where a scenario wants."""
        self._stopping.clear()
        self._asking = asyncio.create_task(self._ask_all_the_while())

    async def finish(self) -> None:
        """Ask no more, and wait for the end of every request; none may be left open or wrong."""
        self._stopping.set()
        assert self._asking is not None
        deadline = self._product.settings.report_deadline / SECOND
        await asyncio.wait({self._asking}, timeout=deadline + _BEYOND_DEADLINE)
        names = sorted(task.get_name() for task in self._waiting)
        assert not names, f"neither complete nor failed long after their deadline: {names}"
        self._asking.result()
        assert not self.wrong, "\n".join(self.wrong)
        assert self.outcomes

    def check_deadline(self) -> None:
        """Every request has ended, complete or failed, by its deadline and a little more."""
        limit = self._product.settings.report_deadline / SECOND + _BEYOND_DEADLINE_OF_ONE
        late = [
            f"{o.store.id}: {o.status} after {o.running:.1f} s"
            for o in self.outcomes
            if o.running > limit
        ]
        assert not late, "\n".join(late)

    async def abandon(self) -> None:
        """Drop everything at once."""
        tasks = [*self._waiting, *([self._asking] if self._asking else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask_all_the_while(self) -> None:
        settings = self._product.settings
        kafka = await connected(settings, lambda: producer(settings))
        try:
            async with Client(self._product.address) as self._client:
                while not self._stopping.is_set():
                    store = self._randomness.choice(self._stores)
                    straight = kafka if self._randomness.random() < 0.25 else None
                    self._watch(store, straight)
                    await asyncio.sleep(_AGAIN)
                while self._waiting:
                    # the client stays for those that wait for their end
                    await asyncio.wait(set(self._waiting))
        finally:
            await kafka.stop()

    def _watch(self, store: Store, kafka: Any) -> None:
        task = asyncio.create_task(self._one(store, kafka))
        self._waiting.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._waiting.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.wrong.append(f"{task.get_name()}: {task.exception()!r}")

    async def _one(self, store: Store, kafka: Any) -> None:
        asked = time.monotonic()
        least = self._ledger.least_counted(store)
        if kafka is None:
            report_id = await self._client.trigger(store)
        else:
            report_id = str(uuid.uuid4())
            await kafka.send_and_wait(
                REPORT_REQUESTS.name,
                encode_request(ReportRequest(report_id, store.id, microseconds(store.reference))),
                store.id.encode(),
            )
        accepted = time.monotonic()
        task = asyncio.current_task()
        assert task is not None
        task.set_name(f"report {report_id} of store {store.id}")
        status, content = await self._client.finished(report_id, known=kafka is None)
        ended = time.monotonic()
        self.outcomes.append(Outcome(store, status, content, ended - asked, ended - accepted))
        if status == "complete":
            most = self._ledger.most_counted(store)
            counted = content["polls_counted"]
            if not least <= counted <= most:
                self.wrong.append(
                    f"report {report_id} of store {store.id} counts {counted} polls; {least} were "
                    f"acknowledged before it was asked for, {most} had been sent when it was seen"
                )


def microseconds(instant: datetime) -> int:
    """Since the epoch, of a whole second."""
    return round(instant.timestamp() * 1_000_000)
