"""The command `explain` recomputes reports of each form from the topics, and a changed one."""

from __future__ import annotations

import asyncio
import os
import sys
import uuid
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson
import pytest
from aiohttp.test_utils import TestServer

from api.app import create_app
from api.gateway import Gateway
from producers.record_sink import RecordSink
from stream_app.contracts.business_hours import encode_hours
from stream_app.contracts.polls import encode_poll_batch
from stream_app.contracts.report_results import ReportDocument, ReportEvent, encode_event
from stream_app.contracts.stores import encode_timezone
from stream_app.contracts.topics import (
    REPORT_RESULTS,
    STORE_BUSINESS_HOURS,
    STORE_STATUS,
    STORE_TIMEZONES,
)
from stream_app.domain.timestamps import DAY, HOUR, MINUTE, SECOND, format_instant
from stream_app.local.processes.environment import environment_of
from tests.integration.gateways import now
from tests.integration.worker_process import running_worker

if TYPE_CHECKING:
    from pathlib import Path

    from stream_app.settings import Settings

pytestmark = pytest.mark.kafka

HOURS = [(day, "08:30", "17:00") for day in range(5)] + [(5, "20:00", "03:15")]


class Reports:
    """Requests reports of an API, and lets the command explain them."""

    def __init__(self, settings: Settings, address: str, session: aiohttp.ClientSession) -> None:
        self._settings = settings
        self._address = address
        self._session = session

    async def make(self, path: str, **body: Any) -> dict[str, Any]:
        """Request a report as soon as the API has connected to the broker, and wait for it."""
        while True:
            async with self._session.post(self._address + path, json=body) as response:
                if response.status == 202:
                    report_id = (await response.json())["report_id"]
                    break
                assert response.status == 503, await response.text()
            await asyncio.sleep(0.1)
        return await self.fetch(report_id)

    async def fetch(self, report_id: str) -> dict[str, Any]:
        url = f"{self._address}/get_report/{report_id}"
        while True:
            async with self._session.get(url, headers={"Accept": "application/json"}) as response:
                if response.status == 200:
                    content: dict[str, Any] = await response.json()
                    return content
                assert response.status in {202, 404}, await response.text()
            await asyncio.sleep(0.05)

    async def explain(self, report_id: str, *arguments: str) -> tuple[int, dict[str, Any]]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "stream_app.cli.main", "explain", report_id),
            *("--format", "json", "--api", self._address, *arguments),
            env=environment_of(self._settings, os.environ),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert process.returncode is not None
        assert out, err
        return process.returncode, orjson.loads(out)


async def test_reports_of_each_form_agree_and_a_changed_one_does_not(
    kafka_settings: Settings, tmp_path: Path
) -> None:
    settings = kafka_settings.replace(data_dir=tmp_path)
    end = now() - HOUR
    store = str(uuid.uuid4())
    polls = [
        (end - number * 47 * MINUTE - number * SECOND, number % 3 > 0) for number in range(300)
    ]
    key = store.encode()
    async with RecordSink(settings) as sink:
        await sink.send(STORE_BUSINESS_HOURS, key, encode_hours(store, HOURS))
        await sink.send(STORE_TIMEZONES, key, encode_timezone(store, "Australia/Lord_Howe"))
        await sink.send(STORE_STATUS, key, encode_poll_batch(store, polls))

    server = TestServer(create_app(Gateway(settings, now)))
    await server.start_server()
    try:
        async with running_worker(settings), aiohttp.ClientSession() as session:
            reports = Reports(settings, str(server.make_url("")).rstrip("/"), session)
            one = f"/trigger_report/{store}"
            at = format_instant(end)
            made = [
                await reports.make(one, reference_time=at),
                await reports.make(one, end=at, exact=True),
                await reports.make(one, end=at, start=format_instant(end - 3 * DAY - 5)),
                await reports.make(one, end=at, duration="P4D", daily=True),
                await reports.make(one, end=at, duration="P4D", daily=True, exact=True),
                await reports.make("/trigger_report", reference_time=at, store_ids=[store]),
                await reports.make("/trigger_report", end=at, daily=True),
            ]
            # polls that are sent later do not change these reports
            async with RecordSink(settings) as sink:
                later = [(end - MINUTE, True), (end - 2 * MINUTE, False)]
                await sink.send(STORE_STATUS, key, encode_poll_batch(store, later))
            for content in made:
                code, result = await reports.explain(content["report_id"], "--store", store)
                assert (code, result["outcome"], result["reasons"]) == (0, "agrees", [])
                assert result["polls_counted"] > 90

            tampered = str(uuid.uuid4())
            wrong = {**made[0], "uptime_last_week": made[0]["uptime_last_week"] + 0.01}
            event = ReportEvent(tampered, "complete", now(), report=ReportDocument(wrong))
            async with RecordSink(settings) as sink:
                await sink.send(REPORT_RESULTS, tampered.encode(), encode_event(event))
            await reports.fetch(tampered)
            code, result = await reports.explain(tampered)
    finally:
        await server.close()

    assert (code, result["outcome"]) == (1, "differs")
    assert len(result["reasons"]) == 1
    assert result["reasons"][0].startswith("uptime_last_week is ")
