"""What every run of the suite shows: two crashes under load, and a rebuild from the changelog."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.faults import crashing_worker
from tests.faults.deployment import OWNS

if TYPE_CHECKING:
    from tests.faults.conftest import UnderLoad

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.faults,
    pytest.mark.faults_short,
    pytest.mark.timeout(240),
]


async def test_workers_die_and_nothing_is_lost(faulty: UnderLoad) -> None:
    async with faulty("short: kill -9, and a death between log and table", workers=2) as scene:
        product = scene.product
        victim = product.workers["worker-2"]
        victim.mark()
        await scene.kill("worker-2")
        await victim.wait_until_said(OWNS)
        await scene.recovered()

        await product.workers["worker-1"].stop()
        program = crashing_worker.program("in the changelog, not local")
        crashing = product.new_worker("worker-1", program=program)
        scene.fault()
        assert await crashing.run_to_its_end() == -signal.SIGKILL
        await product.new_worker("worker-1").start()
        await scene.recovered()
