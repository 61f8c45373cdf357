"""The keeper of deadlines must outlive a broker that is away for a while."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path
from typing import Any

import pytest

from api.kafka.notifier import Notifier
from api.reports import service as module
from api.reports.service import ReportService
from api.reports.view import ReportView
from stream_app import periodic
from stream_app.contracts.report_requests import ReportRequest
from stream_app.errors import BrokerUnavailableError
from stream_app.kafka.batch_producer import BatchMetadata
from tests.fakes import SETTINGS


class FakeConnection:
    """Out of reach at first, then remembers what it sent."""

    unavailable_reason = None

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.sent = asyncio.Event()

    async def bounded_wait(self, waiting: Any) -> Any:
        return await waiting

    def send(self, *_: Any, at_once: bool) -> asyncio.Future[BatchMetadata]:
        assert at_once
        if self.failures:
            self.failures -= 1
            raise BrokerUnavailableError("away")
        self.sent.set()
        sent = asyncio.get_running_loop().create_future()
        sent.set_result(BatchMetadata(0, 0))
        return sent


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
    connection: Any = FakeConnection(sending)
    tail = Tail(reading)
    log = ReportView(Path(":memory:"))
    monkeypatch.setattr(log, "expire", lambda *_: 0)
    log.apply_request(ReportRequest(str(uuid.uuid4()), str(uuid.uuid4())), 0)
    keeper = ReportService(SETTINGS, lambda: 10**15, connection, log, tail.catch_up, Notifier())

    await keeper.start()
    try:
        await connection.sent.wait()
        await tail.caught_up.wait()
        task = keeper._deadlines._task
        assert task is not None
        assert not task.done()
    finally:
        await keeper.stop()
        log.close()


async def test_it_stops_though_a_cancellation_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `asyncio.wait_for` loses one that comes at the moment at which its awaitable ends."""
    monkeypatch.setattr(module, "_DEADLINE_CHECK_SECONDS", 0)
    monkeypatch.setattr(periodic, "CANCEL_SECONDS", 0.01)
    lost = asyncio.Event()

    async def lose_one() -> None:
        if not lost.is_set():
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                lost.set()

    connection: Any = FakeConnection(0)
    log = ReportView(Path(":memory:"))
    log.apply_request(ReportRequest(str(uuid.uuid4()), str(uuid.uuid4())), 0)
    keeper = ReportService(SETTINGS, lambda: 10**15, connection, log, lose_one, Notifier())
    await keeper.start()
    await connection.sent.wait()
    await asyncio.sleep(0)
    await keeper.stop()
    assert lost.is_set()
    log.close()
