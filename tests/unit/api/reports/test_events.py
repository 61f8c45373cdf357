"""The events of a report end with its final status, whenever it comes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from tests.fakes import report_state
from tests.unit.api.answers import REPORT

if TYPE_CHECKING:
    import pytest

    from tests.fakes import FakeGateway
    from tests.http_client import TestClient


async def test_a_report_that_fails_while_its_stream_opens_ends_the_stream(
    client: TestClient, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.reports[REPORT] = report_state(REPORT, "running")
    send_headers = web.StreamResponse.prepare

    async def fail_and_send_headers(response: web.StreamResponse, request: Any) -> Any:
        gateway.reports[REPORT] = report_state(REPORT, "failed", reason="no worker")
        gateway.changes.notify(REPORT)
        return await send_headers(response, request)

    monkeypatch.setattr(web.StreamResponse, "prepare", fail_and_send_headers)
    response = await client.get(f"/reports/{REPORT}/events")
    events = await response.text()
    assert events.count("event: report") == 1
    assert '"status":"failed"' in events
