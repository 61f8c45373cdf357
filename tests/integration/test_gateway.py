"""The API's gateway to Kafka, also for requests that no worker answers at once."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from api.gateway import Gateway
from producers.record_sink import RecordSink
from stream_app.contracts.polls import encode_poll_batch
from stream_app.contracts.report_requests import ReportRequest
from stream_app.contracts.stores import StoreRecord, encode_store
from stream_app.contracts.topics import STORE_STATUS, STORES
from stream_app.domain.timestamps import HOUR, SECOND
from stream_app.errors import BrokerUnavailableError
from tests.integration.gateways import now, running_gateway, wait_until_finished
from tests.integration.worker_process import running_worker

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from aiokafka import TopicPartition

    from stream_app.settings import Settings

pytestmark = pytest.mark.kafka


def a_request() -> ReportRequest:
    return ReportRequest(str(uuid.uuid4()), str(uuid.uuid4()), reference_time=now())


async def test_without_a_worker_a_report_fails_at_its_deadline(kafka_settings: Settings) -> None:
    request = a_request()
    async with running_gateway(kafka_settings.replace(report_deadline=SECOND)) as gateway:
        await gateway.report_service.request_report(request)
        pending = await gateway.report_service.report(request.report_id)
        assert pending is not None
        assert pending.status == "pending"
        state = await wait_until_finished(gateway, request.report_id)
    assert (state.status, state.reason) == (
        "failed",
        "no worker answered within the deadline of 1s",
    )


async def test_a_restart_of_the_api_forgets_no_request(kafka_settings: Settings) -> None:
    request = a_request()
    async with running_gateway(kafka_settings) as first:
        await first.report_service.request_report(request)
    async with running_gateway(kafka_settings) as second:
        state = await second.report_service.report(request.report_id)
    assert state is not None
    assert (state.status, state.subject) == ("pending", request.store_id)


async def test_without_a_worker_the_api_is_not_ready_and_names_the_reason(
    kafka_settings: Settings,
) -> None:
    async with running_gateway(kafka_settings) as gateway:
        reason = await gateway.readiness.unavailable_reason()
    assert reason is not None
    assert "no worker owns partitions" in reason


async def test_an_idle_api_asks_the_brokers_once_a_second(
    kafka_settings: Settings,
) -> None:
    async with running_gateway(kafka_settings) as idle:
        fetch, check = idle._end_offset_fetcher.fetch, idle._broker_monitor._ask
        counts: Counter[str] = Counter()

        async def counted_fetch(partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
            counts["questions"] += 1
            return await fetch(partitions)

        async def counted_check() -> None:
            counts["seconds"] += 1
            await check()

        idle._end_offset_fetcher.fetch = counted_fetch  # type: ignore[method-assign]
        idle._broker_monitor._ask = counted_check
        while counts["seconds"] < 4:  # noqa: ASYNC110  another task counts
            await asyncio.sleep(0.02)
    assert counts["questions"] == counts["seconds"]


async def test_without_a_broker_every_call_fails_as_unavailable(kafka_settings: Settings) -> None:
    gateway = Gateway(kafka_settings.replace(kafka_bootstrap="127.0.0.1:1"), now)
    await gateway.start()
    try:
        with pytest.raises(BrokerUnavailableError):
            await gateway.report_service.request_report(a_request())
        with pytest.raises(BrokerUnavailableError):
            await gateway.store_service.store_exists(str(uuid.uuid4()))
        assert await gateway.readiness.unavailable_reason()
    finally:
        await gateway.stop()


async def test_a_registered_store_is_known(kafka_settings: Settings) -> None:
    store_id = str(uuid.uuid4())
    async with RecordSink(kafka_settings) as sink:
        await sink.send(STORES, store_id.encode(), encode_store(StoreRecord(store_id)))
    async with running_gateway(kafka_settings) as gateway:
        assert await gateway.store_service.store_exists(store_id)


async def test_a_request_made_before_any_worker_runs_is_answered_by_the_first(
    kafka_settings: Settings, tmp_path: Path
) -> None:
    """Afterwards the worker stops cleanly."""
    request = a_request()
    polls = [((request.reference_time or 0) - 3 * HOUR, True)]
    async with RecordSink(kafka_settings) as sink:
        value = encode_poll_batch(request.store_id, polls)
        await sink.send(STORE_STATUS, request.store_id.encode(), value)
    settings = kafka_settings.replace(data_dir=tmp_path)
    async with running_gateway(settings) as gateway:
        await gateway.report_service.request_report(request)
        async with running_worker(settings) as worker:
            state = await wait_until_finished(gateway, request.report_id)
            code = await worker.stop()
    assert code == 0
    assert state.status == "complete", state.reason
    assert state.document is not None
    assert [
        state.document.fields[f"{kind}time_last_{window}"]
        for window in ("hour", "day", "week")
        for kind in ("up", "down")
    ] == [60, 0, 3.0, 21.0, 3.0, 165.0]
