"""Fault 19 without a small disk: the files of a worker, or of the broker, cannot grow."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import pytest

from stream_app.local.processes.supervisor import Supervisor
from tests.faults import limited_files
from tests.faults.deployment import COMMAND, OWNS_ALL
from tests.faults.limited_files import TOO_LARGE
from tests.faults.report_requests import Client

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.conftest import UnderLoad

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.timeout(420)]

FAILS: Final = rf"this worker ends: the database of partition \d fails: .*{TOO_LARGE}"


async def test_the_files_of_a_worker_cannot_grow(faulty: UnderLoad, tmp_path: Path) -> None:
    async with faulty("19: no room for the files of the only worker", workers=1) as scene:
        product = scene.product
        assert await product.workers["worker-1"].stop() == 0
        limit = tmp_path / "largest"
        worker = product.new_worker("worker-1", program=limited_files.program(limit, COMMAND))
        worker.may_end(FAILS)
        worker.mark()
        scene.mark_fault()
        limit.write_text("65536")
        await worker.start()
        await worker.wait_until_logged(FAILS)
        # the next start writes to a new file, fails there, and names the same reason
        worker.mark()
        await worker.wait_until_logged(FAILS)
        while await product.readiness() == "ready":  # noqa: ASYNC110  over HTTP
            await asyncio.sleep(0.1)
        ends = [line for line in product.lines if line.startswith("worker-1 ended")]
        assert TOO_LARGE in ends[0]
        limit.unlink()
        worker.mark()
        await worker.wait_until_logged(OWNS_ALL)
        await scene.load.wait_until_acknowledged(300)


async def test_the_files_of_the_broker_cannot_grow(faulty: UnderLoad) -> None:
    async with faulty("19: no room for the files of the only broker", workers=1) as scene:
        product = scene.product
        (broker,) = product.kafka.nodes
        lines: list[str] = []
        supervisor = Supervisor(lines.append)
        supervisor.startup_complete()
        supervisor.watch(broker)
        try:
            async with Client(product.address) as client:
                scene.mark_fault()
                assert broker.pid is not None
                limited_files.limit_now(broker.pid, 1_000_000)
                store = scene.stores[0]
                later = store.reference + timedelta(minutes=5)
                path = f"/stores/{store.id}/status"
                body = {"status": "inactive", "timestamp_utc": later.isoformat()}
                answers = set()
                while not lines:
                    # a poll is accepted only after it is written
                    answers.add((await client.request("POST", path, json=body))[0])
                    await asyncio.sleep(0.1)
            await scene.load.wait_until_acknowledged(300)
        finally:
            await supervisor.stop()
        assert lines[0].startswith(f"kafka-1 ended (exit code 1): java.io.IOException: {TOO_LARGE}")
        assert answers <= {202, 503}
        assert 503 in answers
