"""Fault 20: a worker dies in the middle of reports, and requests are sent twice."""

from __future__ import annotations

import asyncio
import signal
import uuid
from typing import TYPE_CHECKING

import pytest

from stream_app.contracts.report_requests import ReportRequest, encode_request
from stream_app.contracts.topics import REPORT_REQUESTS
from stream_app.kafka.clients import producer
from tests.faults import crashing_worker
from tests.faults.report_requests import Client, microseconds

if TYPE_CHECKING:
    from tests.faults.conftest import UnderLoad

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.timeout(420)]


async def test_a_worker_is_killed_during_reports(faulty: UnderLoad) -> None:
    async with faulty("20: kill -9 in the middle of reports", workers=1) as scene:
        product = scene.product
        async with Client(product.address) as client:
            for _ in range(3):
                # the API knows all stores by now: it accepts requests without a worker
                await scene.wait_until_recovered()
                await product.workers["worker-1"].stop()
                program = crashing_worker.program("before a report is complete")
                crashing = product.new_worker("worker-1", program=program)
                scene.mark_fault()
                end = asyncio.create_task(crashing.run_to_its_end())
                report_ids = [await client.trigger(store) for store in scene.stores[:20]]
                assert await end == -signal.SIGKILL
                await product.new_worker("worker-1").start()
                results = await asyncio.gather(*map(client.wait_until_finished, report_ids))
                assert {status for status, _ in results} == {"complete"}


async def test_identical_requests_at_once_are_one_report(faulty: UnderLoad) -> None:
    async with faulty("20: identical requests at once, and a kill -9 among them") as scene:
        product = scene.product
        async with Client(product.address) as client:
            for store in scene.stores[:10]:
                key = str(uuid.uuid4())
                ids = await asyncio.gather(*(client.trigger(store, key=key) for _ in range(10)))
                assert len(set(ids)) == 1
            await scene.kill("worker-1")
            report_ids = [str(uuid.uuid4()) for _ in range(10)]
            async with producer(product.settings) as kafka:
                for report_id, store in zip(report_ids, scene.stores, strict=False):
                    request = ReportRequest(report_id, store.id, microseconds(store.reference))
                    for partition in (None, 0, 1, None):
                        # the same request again, also as clients with other partitioners send it
                        await kafka.send(
                            REPORT_REQUESTS.name,
                            encode_request(request),
                            store.id.encode(),
                            partition=partition,
                        )
            for report_id in report_ids:
                first = await client.wait_until_finished(report_id, known=False)
                assert first[0] == "complete"
                await scene.wait_until_recovered()
                # later results of the same request do not change the first one
                assert await client.wait_until_finished(report_id) == first
