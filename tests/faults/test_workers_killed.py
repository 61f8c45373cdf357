"""Faults 1, 3 and 5: workers that are killed, stopped, added and removed under load."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.faults.conftest import UnderLoad

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.timeout(420)]

OWNS = r"own partitions \d"


async def test_a_worker_is_killed_five_times(faulty: UnderLoad) -> None:
    async with faulty("1: kill -9 of one of two workers, five times", workers=2) as scene:
        victim = scene.product.workers["worker-1"]
        for _ in range(5):
            victim.mark()
            await scene.kill("worker-1")
            await scene.load.acknowledged(1000)
            await victim.wait_until_said(OWNS)
        assert [line for line in scene.product.lines if "worker-1 ended (signal 9)" in line]
