"""A query is sent on its own topic, and its answer is awaited for a limited time."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from api.kafka.notifier import Notifier
from api.reports import service as module
from api.reports.service import ReportService
from api.reports.view import ReportView
from stream_app.contracts.report_requests import ReportRequest
from stream_app.contracts.report_results import ReportDocument, ReportEvent, encode_event
from stream_app.contracts.topics import QUERY_RESULTS, STORE_QUERIES
from stream_app.errors import ReportError, WorkersBehindError
from stream_app.kafka.batch_producer import BatchMetadata
from tests.fake_record import FakeRecord
from tests.fakes import SETTINGS
from tests.unit.api.answers import CONTENT, STORE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from stream_app.contracts.topics import TopicSpec

QUERY = ReportRequest(str(uuid.UUID(int=5)), STORE)


class FakeConnection:
    """A connection that acknowledges every record and remembers its topic."""

    unavailable_reason = None

    def __init__(self) -> None:
        self.topics: list[str] = []
        self.sent = asyncio.Event()

    def require_connected(self) -> None:
        pass

    async def bounded_wait(self, waiting: Any) -> Any:
        return await waiting

    def send(self, topic: TopicSpec, *_: Any, at_once: bool) -> asyncio.Future[BatchMetadata]:
        assert at_once
        self.topics.append(topic.name)
        self.sent.set()
        sent = asyncio.get_running_loop().create_future()
        sent.set_result(BatchMetadata(0, 0))
        return sent


class Harness:
    """A report service with a fake connection."""

    def __init__(self) -> None:
        self.changes = Notifier()
        self.view = ReportView(Path(":memory:"), self.changes.notify)
        self.connection = FakeConnection()
        connection: Any = self.connection
        self.service = ReportService(
            SETTINGS, lambda: 0, connection, self.view, lambda: asyncio.sleep(0), self.changes
        )

    async def deliver(self, *events: ReportEvent) -> None:
        await self.connection.sent.wait()
        for event in events:
            self.view.on_record(FakeRecord(QUERY_RESULTS.name, encode_event(event)))
            await asyncio.sleep(0)


@pytest.fixture
async def harness() -> AsyncIterator[Harness]:
    harness = Harness()
    yield harness
    harness.view.close()


async def test_the_answer_is_the_complete_report(harness: Harness) -> None:
    answer, _ = await asyncio.gather(
        harness.service.answer(QUERY),
        harness.deliver(
            ReportEvent(QUERY.report_id, "running", 1),
            ReportEvent(QUERY.report_id, "complete", 2, report=ReportDocument.decode(CONTENT)),
        ),
    )

    assert answer.document == ReportDocument.decode(CONTENT)
    assert harness.connection.topics == [STORE_QUERIES.name]
    assert harness.changes._waiting == {}


async def test_a_query_that_failed_says_why(harness: Harness) -> None:
    async def query() -> None:
        with pytest.raises(ReportError, match="no longer kept"):
            await harness.service.answer(QUERY)

    failed = ReportEvent(QUERY.report_id, "failed", 2, reason="the polls are no longer kept")
    await asyncio.gather(query(), harness.deliver(failed))


async def test_a_query_does_not_wait_for_ever(harness: Harness) -> None:
    with pytest.raises(WorkersBehindError, match=r"no worker answered within 0\.01 s"):
        await harness.service.answer(QUERY, patience=0.01)
    assert harness.changes._waiting == {}


async def test_an_overdue_query_fails_on_its_own_topic(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_DEADLINE_CHECK_SECONDS", 0)
    harness.view.apply_request(QUERY, -SETTINGS.report_deadline - 1, query=True)
    await harness.service.start()
    await harness.connection.sent.wait()
    await harness.service.stop()
    assert set(harness.connection.topics) == {QUERY_RESULTS.name}
