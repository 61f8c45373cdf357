"""A report requested after a 202 includes the acknowledged facts, also while workers change."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from aiokafka import AIOKafkaProducer

from stream_app.contracts.topics import STORE_STATUS
from stream_app.kafka.clients import connection
from tests.faults.deployment import deployment
from tests.faults.report_requests import Client
from tests.minute_walk import public_figures, walk

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from tests.faults.deployment import Deployment

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.faults,
    pytest.mark.faults_short,
    pytest.mark.timeout(300),
]

STORES = 30
ROUNDS = 16
TIMEZONES = ("Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Sydney")


@dataclass
class Writer:
    """A store that sends its own polls, and requests its report after each of them."""

    client: Client
    kafka: AIOKafkaProducer
    seed: int
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    begin: datetime = field(
        default_factory=lambda: (
            datetime.fromtimestamp(time.time() // 60 * 60, UTC) - timedelta(hours=3)
        )
    )
    polls: list[tuple[datetime, str]] = field(default_factory=list)
    timezone: str | None = None
    rounds: int = 0

    async def write(self) -> None:
        """Send one poll after the other, each in another way, and read a report after each."""
        randomness = random.Random(self.seed)
        ways: Sequence[Callable[[dict[str, str]], Awaitable[None]]] = (
            self._send_alone,
            self._send_with_others,
            self._send_to_kafka,
        )
        for number in range(ROUNDS):
            poll = (
                self.begin + timedelta(minutes=7 * number),
                "active" if randomness.random() < 0.7 else "inactive",
            )
            fields = {"status": poll[1], "timestamp_utc": poll[0].isoformat()}
            await ways[(number + self.seed) % len(ways)](fields)
            self.polls.append(poll)
            if number % 5 == 4:
                timezone = randomness.choice(TIMEZONES)
                await self._request(
                    "PUT", f"/stores/{self.id}/timezone", json={"timezone_str": timezone}
                )
                self.timezone = timezone
            await self._read(poll[0] + timedelta(seconds=30))
            self.rounds += 1

    async def _send_alone(self, fields: dict[str, str]) -> None:
        await self._request("POST", f"/stores/{self.id}/status", json=fields)

    async def _send_with_others(self, fields: dict[str, str]) -> None:
        others = [{"store_id": str(uuid.UUID(int=n)), **fields} for n in range(3)]
        body = [others[0], {"store_id": self.id, **fields}, *others[1:]]
        answer = await self._request("POST", "/status", json=body)
        assert answer["accepted"] == 4, answer

    async def _send_to_kafka(self, fields: dict[str, str]) -> None:
        value = orjson.dumps({"store_id": self.id, **fields})
        await self.kafka.send_and_wait(STORE_STATUS.name, value, self.id.encode())

    async def _request(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        while True:
            status, content = await self.client.request(method, path, **arguments)
            if status == 202:
                return content
            assert status in {0, 429, 503}, (status, content)
            await asyncio.sleep(0.1)

    async def _read(self, reference: datetime) -> None:
        while True:
            report_id = await self.client.trigger_at(self.id, reference)
            status, content = await self.client.wait_until_finished(report_id)
            if status == "complete":
                break
            # while workers change, a report may fail at its deadline; the reason names it
            assert "within the deadline" in content["reason"], content
        assert content["polls_counted"] == len(self.polls), (content, self.polls)
        assert content["timezone"] == (self.timezone or "America/Chicago")
        if self.rounds % 4 == 3:
            expected = public_figures(walk([], self.timezone, self.polls, reference))
            assert {name: content[name] for name in expected} == expected


async def test_a_report_includes_all_that_was_acknowledged_before(tmp_path: Path) -> None:
    async with AsyncExitStack() as ends:
        product = await ends.enter_async_context(deployment(tmp_path, workers=2))
        client = await ends.enter_async_context(Client(product.address))
        kafka = await ends.enter_async_context(
            AIOKafkaProducer(**connection(product.settings), acks="all")
        )
        writers = [Writer(client, kafka, seed) for seed in range(STORES)]
        async with asyncio.TaskGroup() as group:
            for writer in writers:
                group.create_task(writer.write())
            group.create_task(_change_workers(product, writers))
        assert [writer.rounds for writer in writers] == [ROUNDS] * STORES
        product.check_nothing_crashed()


async def _change_workers(product: Deployment, writers: Sequence[Writer]) -> None:
    """Add a worker, kill one and stop one, while the stores write and read."""

    async def wait_for(rounds: int) -> None:
        while min(writer.rounds for writer in writers) < rounds:  # noqa: ASYNC110  the writers have no event
            await asyncio.sleep(0.05)

    await wait_for(3)
    await product.add_worker("worker-3")
    await wait_for(6)
    await product.workers["worker-1"].kill()
    await wait_for(10)
    await product.workers["worker-2"].stop()
