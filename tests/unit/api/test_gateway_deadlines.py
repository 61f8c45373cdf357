"""The keeper of deadlines must outlive a broker that is away for a while."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from api import gateway as module
from api.gateway import Gateway
from stream_app.contracts.reports import ReportRequest
from stream_app.errors import BrokerUnavailableError
from stream_app.settings import Settings


class Producer:
    """Out of reach at first, then remembers what it sent."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.sent = asyncio.Event()

    async def send_and_wait(self, *_: Any) -> None:
        if self.failures:
            self.failures -= 1
            raise KafkaConnectionError
        self.sent.set()

    async def stop(self) -> None:
        pass


class Tail:
    """Out of reach at first, then caught up at once."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.caught_up = asyncio.Event()

    async def catch_up(self) -> None:
        if self.failures:
            self.failures -= 1
            raise BrokerUnavailableError("away")
        self.caught_up.set()


@pytest.mark.parametrize(("sending", "reading"), [(2, 0), (0, 2), (1, 1)])
async def test_overdue_reports_are_failed_once_the_broker_is_back(
    monkeypatch: pytest.MonkeyPatch, sending: int, reading: int
) -> None:
    monkeypatch.setattr(module, "_DEADLINE_CHECK_SECONDS", 0)
    keeper = Gateway(Settings.from_environment({}), lambda: 10**15)
    producer, tail = Producer(sending), Tail(reading)
    monkeypatch.setattr(keeper, "_producer", producer)
    monkeypatch.setattr(keeper, "_reports_tail", tail)
    monkeypatch.setattr(keeper, "_connected", True)
    monkeypatch.setattr(keeper._log, "forget", lambda _: 0)
    keeper._log.requested(ReportRequest(str(uuid.uuid4()), str(uuid.uuid4())), 0)

    task = asyncio.create_task(keeper._keep_deadlines())
    try:
        await producer.sent.wait()
        await tail.caught_up.wait()
        assert not task.done()
    finally:
        task.cancel()
        keeper._log.close()
        keeper._folder.cleanup()
