"""A crash under load and a restore from the changelog, short enough for every run of the suite."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.faults import crashing_worker

if TYPE_CHECKING:
    from tests.faults.conftest import UnderLoad

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.faults,
    pytest.mark.faults_short,
    pytest.mark.timeout(240),
]


async def test_a_worker_dies_between_log_and_table(faulty: UnderLoad) -> None:
    async with faulty("short: SIGKILL between log and table", workers=2, stores=30) as scene:
        product = scene.product
        await product.workers["worker-1"].stop()
        program = crashing_worker.program("in the changelog, not local")
        crashing = product.new_worker("worker-1", program=program)
        scene.mark_fault()
        assert await crashing.run_to_its_end() == -signal.SIGKILL
        await product.new_worker("worker-1").start()
        await scene.wait_until_recovered()
