"""Reports past their deadline fail, even after the broker was away for a while."""

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
    """A connection that fails at first, and then acknowledges."""

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
    """A tail that fails at first, and then has caught up."""

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
    view = ReportView(Path(":memory:"))
    monkeypatch.setattr(view, "expire", lambda *_: 0)
    view.apply_request(ReportRequest(str(uuid.uuid4()), str(uuid.uuid4())), 0)
    report_service = ReportService(
        SETTINGS, lambda: 10**15, connection, view, tail.catch_up, Notifier()
    )

    await report_service.start()
    try:
        await connection.sent.wait()
        await tail.caught_up.wait()
        task = report_service._deadlines._task
        assert task is not None
        assert not task.done()
    finally:
        await report_service.stop()
        view.close()


async def test_the_service_stops_even_when_a_cancellation_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`asyncio.wait_for` loses a cancellation at the moment at which its awaitable ends."""
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
    view = ReportView(Path(":memory:"))
    view.apply_request(ReportRequest(str(uuid.uuid4()), str(uuid.uuid4())), 0)
    report_service = ReportService(SETTINGS, lambda: 10**15, connection, view, lose_one, Notifier())
    await report_service.start()
    await connection.sent.wait()
    await asyncio.sleep(0)
    await report_service.stop()
    assert lost.is_set()
    view.close()
