"""Requests reports as clients do, over HTTP and on the topic, while parts of the product fail."""

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
from tests.faults.patience import start_client

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from tests.faults.deployment import Deployment
    from tests.faults.ledger import Ledger
    from tests.faults.stores import Store

_RETRY_SECONDS: Final = 0.25
_BEYOND_DEADLINE: Final = 60.0
"""The last request ends within these seconds after its deadline, also where workers restart."""

_BEYOND_DEADLINE_OF_ONE: Final = 15.0
"""Any request ends within these seconds after its deadline, while an API and a broker run."""


@dataclass(slots=True)
class Outcome:
    """The result of one request for a report.

    Attributes:
        store: the store of the report.
        status: `complete` or `failed`.
        content: the JSON answer: the figures, or the reason of the failure.
        seconds: from sending the request to the result, as the client measures it.
        running: seconds from the acceptance of the request to the result.
    """

    store: Store
    status: str
    content: dict[str, Any]
    seconds: float
    running: float


class Client:
    """An HTTP client that tries again without an answer, and after an answer that asks for it."""

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
        """Request a store's report at its reference time, and return the report's id."""
        return await self.trigger_at(store.id, store.reference, key=key)

    async def trigger_at(
        self, store_id: str, reference: datetime, *, key: str | None = None
    ) -> str:
        """Request a report, and return its id as soon as the request is accepted.

        A key is made where the caller gives none: the request is sent again when its answer is
        lost, and must not become a second report.
        """
        headers = {"Idempotency-Key": key or str(uuid.uuid4())}
        body = {"reference_time": reference.isoformat()}
        while True:
            status, content = await self.request(
                "POST", f"/trigger_report/{store_id}", json=body, headers=headers
            )
            if status == 202:
                return str(content["report_id"])
            assert status in {0, 429, 503}, (status, content)
            await asyncio.sleep(_RETRY_SECONDS)

    async def wait_until_finished(
        self, report_id: str, *, known: bool = True
    ) -> tuple[str, dict[str, Any]]:
        """Wait until the report is `complete` or `failed`; return this word and the JSON answer.

        Args:
            report_id: the id of the report.
            known: False if the API may not have read the request yet.
        """
        while True:
            status, content = await self.request(
                "GET", f"/get_report/{report_id}", headers={"Accept": "application/json"}
            )
            if status == 200:
                return "complete", content
            if status == 410:
                return "failed", content
            assert status in {0, 202, 503} or (status == 404 and not known), (status, content)
            await asyncio.sleep(_RETRY_SECONDS)

    async def request(self, method: str, path: str, **arguments: Any) -> tuple[int, dict[str, Any]]:
        """Send a request, and return the status and the content; the status is 0 without answer."""
        try:
            async with self._session.request(method, path, **arguments) as response:
                return response.status, await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError) as error:
            return 0, {"error": repr(error)}


class ReportRequests:
    """Requests one report after another until `stop`, and checks which polls each report counts."""

    def __init__(
        self, product: Deployment, stores: Sequence[Store], ledger: Ledger, *, seed: int = 2
    ) -> None:
        self._product = product
        self._stores = stores
        self._ledger = ledger
        self._randomness = random.Random(seed)
        self._stopping = asyncio.Event()
        self._sending: asyncio.Task[None] | None = None
        self._unfinished: set[asyncio.Task[None]] = set()
        self.outcomes: list[Outcome] = []
        self.wrong: list[str] = []

    def start(self) -> None:
        """Send some three requests a second; a scenario may start them again after `stop`."""
        self._stopping.clear()
        self._sending = asyncio.create_task(self._send_requests())

    async def stop(self) -> None:
        """Send no more requests, wait for all results, and fail if one is missing or wrong."""
        self._stopping.set()
        assert self._sending is not None
        deadline = self._product.settings.report_deadline / SECOND
        await asyncio.wait({self._sending}, timeout=deadline + _BEYOND_DEADLINE)
        names = sorted(task.get_name() for task in self._unfinished)
        assert not names, f"neither complete nor failed long after their deadline: {names}"
        self._sending.result()
        assert not self.wrong, "\n".join(self.wrong)
        assert self.outcomes

    def check_deadline(self) -> None:
        """Fail if a request took much longer than its deadline to be complete or failed."""
        limit = self._product.settings.report_deadline / SECOND + _BEYOND_DEADLINE_OF_ONE
        late = [
            f"{o.store.id}: {o.status} after {o.running:.1f} s"
            for o in self.outcomes
            if o.running > limit
        ]
        assert not late, "\n".join(late)

    async def abandon(self) -> None:
        """Cancel all requests at once."""
        tasks = [*self._unfinished, *([self._sending] if self._sending else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _send_requests(self) -> None:
        settings = self._product.settings
        kafka = await start_client(settings, lambda: producer(settings))
        try:
            async with Client(self._product.address) as self._client:
                while not self._stopping.is_set():
                    store = self._randomness.choice(self._stores)
                    topic_producer = kafka if self._randomness.random() < 0.25 else None
                    self._start_request(store, topic_producer)
                    await asyncio.sleep(_RETRY_SECONDS)
                while self._unfinished:
                    # the requests need the client until their end
                    await asyncio.wait(set(self._unfinished))
        finally:
            await kafka.stop()

    def _start_request(self, store: Store, kafka: Any) -> None:
        task = asyncio.create_task(self._request_and_check(store, kafka))
        self._unfinished.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._unfinished.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.wrong.append(f"{task.get_name()}: {task.exception()!r}")

    async def _request_and_check(self, store: Store, kafka: Any) -> None:
        sent = time.monotonic()
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
        status, content = await self._client.wait_until_finished(report_id, known=kafka is None)
        ended = time.monotonic()
        self.outcomes.append(Outcome(store, status, content, ended - sent, ended - accepted))
        if status == "complete":
            most = self._ledger.most_counted(store)
            counted = content["polls_counted"]
            if not least <= counted <= most:
                self.wrong.append(
                    f"report {report_id} of store {store.id} counts {counted} polls; {least} were "
                    f"acknowledged before it was requested, {most} had been sent when it was read"
                )


def microseconds(instant: datetime) -> int:
    """Return the microseconds from the epoch to an instant without a fraction of a second."""
    return round(instant.timestamp() * 1_000_000)
