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
from tests.integration.gateways import finished, gateway, now
from tests.integration.worker_process import running_worker

if TYPE_CHECKING:
    from pathlib import Path

    from api.gateway import Gateway
    from stream_app.settings import Settings

pytestmark = pytest.mark.kafka

STORES = 600


async def rows(asked: Gateway, request: FleetRequest) -> dict[str, list[Any]]:
    """The rows of a report that has been asked for, by store; each store once."""
    state = await finished(asked, request.report_id)
    assert state.status == "complete", state.reason
    told = [
        row
        for pieces in asked.report_service.stored_rows(request.report_id).parts
        for piece in pieces
        for row in orjson.loads(piece)
    ]
    by_store = {row[0]: row for row in told}
    assert len(by_store) == len(told)
    return by_store


async def asked_for(asked: Gateway, request: FleetRequest) -> FleetRequest:
    await asked.report_service.request_report(request)
    return request


async def until_shared(asked: Gateway, request: FleetRequest) -> dict[str, list[Any]]:
    """A first report, which waits until every partition has an owner."""
    return await rows(asked, await asked_for(asked, request))


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
        gateway(settings) as asked,
        running_worker(settings, "worker-1"),
        running_worker(settings, "worker-2") as doomed,
    ):
        before = await until_shared(asked, request())
        under_way = [await asked_for(asked, request()) for _ in range(4)]
        await doomed.stop(signal.SIGKILL)
        under_way += [await asked_for(asked, request()) for _ in range(2)]
        after = await asyncio.gather(*(rows(asked, each) for each in under_way))

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

    async with gateway(settings) as asked, running_worker(settings):
        some = FleetRequest(str(uuid.uuid4()), tuple(sorted(stores[:2])), newest + MINUTE)
        found = await rows(asked, await asked_for(asked, some))

        unknown = str(uuid.uuid4())
        with_unknown = FleetRequest(str(uuid.uuid4()), (unknown,), newest + MINUTE)
        state = await finished(asked, (await asked_for(asked, with_unknown)).report_id)

    assert sorted(found) == sorted(stores[:2])
    assert state.status == "failed"
    assert f"store {unknown} is unknown" in (state.reason or "")
