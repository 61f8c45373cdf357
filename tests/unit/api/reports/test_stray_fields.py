"""Any value in any field of a result is refused, or every reader can answer with it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from aiohttp.test_utils import TestServer
from hypothesis import example, given
from hypothesis import strategies as st

from api.app import create_app
from api.reports.representations import MEDIA
from stream_app.contracts.report_requests import FleetRequest, ReportRequest
from stream_app.contracts.report_results import (
    ReportDocument,
    ReportEvent,
    decode_event,
    encode_event,
)
from stream_app.errors import RecordError, StoreUptimeError
from stream_app.explain.reported import reported_result
from tests.fakes import FakeGateway, report_state
from tests.http_client import TestClient
from tests.report_contents import FORMS, STORE, fleet_chunk, store_content
from tests.unit.api.answers import REPORT
from tests.unit.contracts.wire import json_values

if TYPE_CHECKING:
    from collections.abc import Iterator

LOST = {"topic": "store-status", "partition": 3, "first_offset": 5, "end_offset": 9}
odd = (
    st.sampled_from(["", "a\r\nSet-Cookie: b", "a\0b", "\x1b[2J", "é", "x" * 9_000, 2**63, 1e300])
    | json_values
)
steps = st.lists(st.integers(0, 40), max_size=4)


def changed(value: Any, path: list[int], new: Any) -> Any:
    """Return a JSON value with the value at a path replaced; each step counts keys or items."""
    if not path or not value or not isinstance(value, dict | list):
        return new
    step, *rest = path
    if isinstance(value, list):
        place = step % len(value)
        return [*value[:place], changed(value[place], rest, new), *value[place + 1 :]]
    name = sorted(value)[step % len(value)]
    return {**value, name: changed(value[name], rest, new)}


class Readers:
    """The API around a fake gateway, for calls from a test that is not asynchronous."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self._runner = runner
        self.gateway = FakeGateway(STORE)
        self.client: TestClient = runner.run(self._start())

    async def _start(self) -> TestClient:
        client: TestClient = TestClient(TestServer(create_app(self.gateway)))
        await client.start_server()
        return client

    def close(self) -> None:
        self._runner.run(self.client.close())

    def status(self, path: str, media: str = "*/*") -> int:
        return self._runner.run(self._status(path, media))

    async def _status(self, path: str, media: str) -> int:
        response = await self.client.get(path, headers={"Accept": media})
        await response.read()
        return response.status


@pytest.fixture(scope="module")
def readers() -> Iterator[Readers]:
    with asyncio.Runner() as runner:
        readers = Readers(runner)
        yield readers
        readers.close()


def of_store(form: str) -> dict[str, Any]:
    content = store_content(FORMS[form], detailed=True) | {"lost_input": [LOST]}
    decoded: dict[str, Any] = orjson.loads(orjson.dumps(content))
    return decoded


STORE_CONTENTS = {form: of_store(form) for form in FORMS}


@pytest.mark.parametrize("form", ["window", "span", "daily exact"])
@given(path=steps.filter(bool), new=odd)
@example(path=[11, 0, 3], new="a\r\nSet-Cookie: b")
def test_any_value_in_the_report_of_a_store_is_refused_or_answered(
    readers: Readers, form: str, path: list[int], new: Any
) -> None:
    content = changed(STORE_CONTENTS[form], path, new)
    try:
        value = orjson.dumps(
            {
                "report_id": REPORT,
                "status": "complete",
                "at": "2024-03-10T12:00:00Z",
                "report": content,
            }
        )
        document = decode_event(value).report
    except (RecordError, TypeError):
        return
    assert document is not None
    report = document.fields
    gateway = readers.gateway
    gateway.reports[REPORT] = report_state(REPORT, "complete", content=report)
    for media in MEDIA:
        assert readers.status(f"/get_report/{REPORT}", media) == HTTPStatus.OK
    gateway.requests[:] = [ReportRequest(REPORT, STORE, spec=FORMS[form])]
    for before, after in ((report, STORE_CONTENTS[form]), (STORE_CONTENTS[form], report)):
        gateway.reports[REPORT] = report_state(REPORT, "complete", content=before)
        gateway.answers = [after]
        assert readers.status(f"/reports/{REPORT}/diff") < HTTPStatus.INTERNAL_SERVER_ERROR
    for view in ("summary", "timeline", "incidents"):
        gateway.answers = [report]
        status = readers.status(f"/stores/{STORE}/{view}")
        assert status in {HTTPStatus.OK, HTTPStatus.UNPROCESSABLE_ENTITY}
    with suppress(StoreUptimeError):
        reported_result(ReportDocument.decode(orjson.loads(orjson.dumps(report))), None, 8)


@pytest.mark.parametrize("form", ["window", "daily exact"])
@given(path=steps.filter(bool), new=odd)
def test_any_value_in_a_chunk_of_a_fleet_report_is_refused_or_answered(
    readers: Readers, form: str, path: list[int], new: Any
) -> None:
    original = fleet_chunk(FORMS[form], lost_input=[LOST])
    value = orjson.loads(encode_event(ReportEvent(REPORT, "running", 7, chunk=original)))
    try:
        event = decode_event(orjson.dumps({**value, "piece": changed(value["piece"], path, new)}))
    except (RecordError, TypeError):
        return
    chunk = event.chunk
    if chunk is None:
        return
    gateway = readers.gateway
    content = {
        "reference_time": "2024-03-10T12:00:00Z",
        **chunk.provenance,
        "input_offsets": {topic: {"0": offset} for topic, offset in chunk.input_offsets.items()},
        "lost_input": list(chunk.lost_input),
        "columns": chunk.columns,
        "further": chunk.extra_columns,
    }
    gateway.rows[REPORT] = [[orjson.dumps(chunk.rows)]]
    gateway.requests[:] = [FleetRequest(REPORT, spec=FORMS[form])]
    gateway.reports[REPORT] = report_state(REPORT, "complete", content=content, parts=(1, 1))
    for media in MEDIA:
        assert readers.status(f"/get_report/{REPORT}", media) == HTTPStatus.OK
    gateway.answers = [content]
    assert readers.status(f"/reports/{REPORT}/diff") < HTTPStatus.INTERNAL_SERVER_ERROR


@pytest.mark.parametrize("status", ["failed", "running", "complete"])
@given(name=st.sampled_from(["reason", "at", "status", "report_id", "report", "piece"]), new=odd)
def test_any_value_beside_the_report_is_refused_or_answered(
    readers: Readers, status: Any, name: str, new: Any
) -> None:
    value = {
        "report_id": REPORT,
        "status": status,
        "at": "2024-03-10T12:00:00Z",
        "reason": "why",
        "report": STORE_CONTENTS["window"],
    }
    try:
        event = decode_event(orjson.dumps({**value, name: new}))
    except (RecordError, TypeError):
        return
    content = None if event.report is None else event.report.fields
    fields = {"reason": event.reason, "content": content}
    readers.gateway.reports[REPORT] = report_state(REPORT, event.status, **fields)
    for path in (f"/get_report/{REPORT}", f"/reports/{REPORT}/diff"):
        assert readers.status(path) != HTTPStatus.INTERNAL_SERVER_ERROR
