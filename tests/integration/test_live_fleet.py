"""The fleet, its events and its queries over real workers, one of which is killed."""

from __future__ import annotations

import asyncio
import signal
import uuid
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from api.fleet.pages import FleetQuery
from api.reports.rows import named_rows
from producers.record_sink import RecordSink
from stream_app.contracts.polls import encode_poll_batch
from stream_app.contracts.report_requests import FleetRequest, ReportRequest
from stream_app.contracts.topics import STORE_STATUS
from stream_app.domain.report_spec import ReportSpec
from stream_app.domain.timestamps import HOUR, MINUTE, WEEK, format_instant
from tests.integration.gateways import now, running_gateway, wait_until_finished
from tests.integration.worker_process import running_worker

if TYPE_CHECKING:
    from pathlib import Path

    from api.gateway import Gateway
    from stream_app.settings import Settings

pytestmark = pytest.mark.kafka

STORES = 40


async def wait_for_states(gateway: Gateway, stores: list[str], **expected: int) -> None:
    """Wait until as many of the stores are in each state; workers publish within a second."""
    async with asyncio.timeout(60):
        while True:
            states = Counter(store.state for store in await gateway.fleet_service.stores(stores))
            if states == expected:
                return
            await asyncio.sleep(0.05)


async def send(settings: Settings, polls: dict[str, list[tuple[int, bool]]]) -> None:
    async with RecordSink(settings) as sink:
        for store, store_polls in polls.items():
            await sink.send(STORE_STATUS, store.encode(), encode_poll_batch(store, store_polls))


async def test_the_fleet_follows_the_polls_and_survives_a_worker(
    kafka_settings: Settings, tmp_path: Path
) -> None:
    settings = kafka_settings.replace(data_dir=tmp_path)
    newest = now() - HOUR
    stores = [str(uuid.uuid4()) for _ in range(STORES)]
    await send(
        settings,
        {
            store: [(newest - number * MINUTE, number % 4 != 0)]
            for number, store in enumerate(stores)
        },
    )

    async with running_gateway(settings) as gateway:
        async with running_worker(settings, "worker-1") as doomed:
            await wait_for_states(gateway, stores, up=STORES * 3 // 4, down=STORES // 4)
            query = FleetQuery(states=("down",), part=stores[0])
            page = await gateway.fleet_service.page(query)
            assert [store.store_id for store in page.snapshot.stores] == [stores[0]]
            assert page.matching == 1

            async with gateway.fleet_service.watch(stores[0]) as watcher:
                await send(settings, {stores[0]: [(newest + MINUTE, True)]})
                await asyncio.wait_for(watcher.changed.wait(), 30)
                assert watcher.drain_changes() == ([stores[0]], False)
            await doomed.stop(signal.SIGKILL)
            # the topics have a poll that the dead worker applied, and a later one
            await send(settings, {stores[4]: [(newest + MINUTE, True)]})

        # the next owner publishes the state of all stores, from the changelog
        async with running_worker(settings, "worker-2"):
            await wait_for_states(gateway, stores, up=STORES * 3 // 4 + 2, down=STORES // 4 - 2)

        # a gateway that starts later reads them from the topic
        async with running_gateway(settings) as fresh:
            await wait_for_states(fresh, stores, up=STORES * 3 // 4 + 2, down=STORES // 4 - 2)


async def test_a_query_is_a_report_and_covers_what_was_acknowledged(
    kafka_settings: Settings, tmp_path: Path
) -> None:
    settings = kafka_settings.replace(data_dir=tmp_path)
    store, reference = str(uuid.uuid4()), now() - HOUR
    async with running_gateway(settings) as gateway, running_worker(settings, "worker-1"):
        for number in range(5):
            # the poll is acknowledged a moment before the query
            polls = [(reference - 2 * HOUR + number * MINUTE, number % 2 == 0)]
            await send(settings, {store: polls})
            query = ReportRequest(
                str(uuid.uuid4()), store, reference, details=("timeline", "incidents", "windows")
            )
            answer = await gateway.report_service.answer(query)
            assert answer.document is not None
            assert answer.document.fields["polls_counted"] == number + 1
            last = answer.document.fields["intervals"][-1]
            assert last["end"] == format_instant(reference)
            assert last["counted_as"] == ("active" if number % 2 == 0 else "inactive")

        assert answer.document is not None
        report = ReportRequest(str(uuid.uuid4()), store, reference)
        await gateway.report_service.request_report(report)
        state = await wait_until_finished(gateway, report.report_id)
        assert state.document is not None
        for name in state.document.fields:
            assert state.document.fields[name] == answer.document.fields[name]
        # one poll is at the end of the lookback, the others within two hours that they cover
        assert state.document.fields["coverage"] == round((2 * HOUR) / WEEK, 6)


async def test_a_fleet_query_by_days_adds_up_to_the_whole(
    kafka_settings: Settings, tmp_path: Path
) -> None:
    settings = kafka_settings.replace(data_dir=tmp_path)
    reference = now() - HOUR
    polls = {
        str(uuid.uuid4()): [(reference - hours * HOUR, hours % 5 > 1) for hours in range(100)]
        for _ in range(20)
    }
    await send(settings, polls)
    async with running_gateway(settings) as gateway, running_worker(settings, "worker-1"):
        rows = {}
        for daily in (False, True):
            form = ReportSpec(duration=90 * HOUR, daily=daily)
            query = FleetRequest(str(uuid.uuid4()), reference_time=reference, spec=form)
            answer = await gateway.report_service.answer(query)
            assert answer.document is not None
            assert set(answer.document.fields["input_offsets"][STORE_STATUS.name]) == {
                str(partition) for partition in range(settings.partitions)
            }
            parts = gateway.report_service.stored_rows(query.report_id).parts
            rows[daily] = list(named_rows(answer.document, parts))
        for store in polls:
            (whole,) = [row for row in rows[False] if row["store_id"] == store]
            days = [row for row in rows[True] if row["store_id"] == store]
            assert len(days) in (4, 5)
            for figure in ("uptime_minutes", "downtime_minutes"):
                assert sum(day[figure] for day in days) == whole[figure] > 0
            assert whole["uptime_minutes"] + whole["downtime_minutes"] == 90 * 60
