"""One report of many stores over two workers, one of which is killed in the middle of it."""

from __future__ import annotations

import asyncio
import signal
import uuid
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from producers.record_sink import RecordSink
from stream_app.contracts.polls import encode_poll_batch
from stream_app.contracts.report_requests import FleetRequest
from stream_app.contracts.topics import STORE_STATUS
from stream_app.domain.timestamps import HOUR, MINUTE
from tests.integration.gateways import now, running_gateway, wait_until_finished
from tests.integration.worker_process import running_worker

if TYPE_CHECKING:
    from pathlib import Path

    from api.gateway import Gateway
    from stream_app.settings import Settings

pytestmark = pytest.mark.kafka

STORES = 600


async def rows(gateway: Gateway, request: FleetRequest) -> dict[str, list[Any]]:
    """Wait for a report, check that each store has one row, and return the rows by store."""
    state = await wait_until_finished(gateway, request.report_id)
    assert state.status == "complete", state.reason
    all_rows = [
        row
        for chunks in gateway.report_service.stored_rows(request.report_id).parts
        for chunk in chunks
        for row in orjson.loads(chunk)
    ]
    by_store = {row[0]: row for row in all_rows}
    assert len(by_store) == len(all_rows)
    return by_store


async def send_request(gateway: Gateway, request: FleetRequest) -> FleetRequest:
    await gateway.report_service.request_report(request)
    return request


async def first_rows(gateway: Gateway, request: FleetRequest) -> dict[str, list[Any]]:
    """Request a report, which is complete only after every partition has an owner."""
    return await rows(gateway, await send_request(gateway, request))


async def test_a_worker_killed_in_the_middle_costs_time_and_no_row(
    kafka_settings: Settings, tmp_path: Path
) -> None:
    settings = kafka_settings.replace(data_dir=tmp_path)
    newest = now() - HOUR
    stores = [str(uuid.uuid4()) for _ in range(STORES)]
    async with RecordSink(settings) as sink:
        for number, store in enumerate(stores):
            polls = [(newest - number * MINUTE, True)]
            await sink.send(STORE_STATUS, store.encode(), encode_poll_batch(store, polls))

    def request() -> FleetRequest:
        return FleetRequest(str(uuid.uuid4()), reference_time=newest + MINUTE)

    async with (
        running_gateway(settings) as gateway,
        running_worker(settings, "worker-1"),
        running_worker(settings, "worker-2") as doomed,
    ):
        before = await first_rows(gateway, request())
        requests = [await send_request(gateway, request()) for _ in range(4)]
        await doomed.stop(signal.SIGKILL)
        requests += [await send_request(gateway, request()) for _ in range(2)]
        after = await asyncio.gather(*(rows(gateway, each) for each in requests))

    assert set(stores) <= set(before)
    for number, store in enumerate(stores):
        minutes = min(number, 7 * 24 * 60) + 1
        assert before[store][3] == round(min(minutes, 7 * 24 * 60) / 60, 2)
    assert all(each == before for each in after)


async def test_some_stores_alone(kafka_settings: Settings, tmp_path: Path) -> None:
    settings = kafka_settings.replace(data_dir=tmp_path)
    newest = now() - HOUR
    stores = [str(uuid.uuid4()) for _ in range(5)]
    async with RecordSink(settings) as sink:
        for store in stores:
            value = encode_poll_batch(store, [(newest, True)])
            await sink.send(STORE_STATUS, store.encode(), value)

    async with running_gateway(settings) as gateway, running_worker(settings):
        some = FleetRequest(str(uuid.uuid4()), tuple(sorted(stores[:2])), newest + MINUTE)
        some_rows = await rows(gateway, await send_request(gateway, some))

        unknown = str(uuid.uuid4())
        with_unknown = FleetRequest(str(uuid.uuid4()), (unknown,), newest + MINUTE)
        state = await wait_until_finished(
            gateway, (await send_request(gateway, with_unknown)).report_id
        )

    assert sorted(some_rows) == sorted(stores[:2])
    assert state.status == "failed"
    assert f"store {unknown} is unknown" in (state.reason or "")
