"""Faults 1 to 5: workers killed, stopped, paused, added and removed under load."""

from __future__ import annotations

import asyncio
import signal
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from tests.faults import crashing_worker, observed_worker
from tests.faults.deployment import FENCED, OWNS, OWNS_ALL

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.conftest import UnderLoad

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.timeout(420)]


async def test_a_worker_is_killed_five_times(faulty: UnderLoad) -> None:
    async with faulty("1: kill -9 of one of two workers, five times", workers=2) as scene:
        victim = scene.product.workers["worker-1"]
        for _ in range(5):
            victim.mark()
            await scene.kill("worker-1")
            await victim.wait_until_logged(OWNS)
            await scene.wait_until_recovered()
        ends = [line for line in scene.product.lines if "worker-1 ended (signal 9)" in line]
        assert len(ends) == 5


async def test_a_worker_dies_at_every_step_of_its_work(faulty: UnderLoad) -> None:
    async with faulty("2: SIGKILL between any two steps of a write", workers=2) as scene:
        product = scene.product
        for point in crashing_worker.POINTS:
            await product.workers["worker-1"].stop()
            crashing = product.new_worker("worker-1", program=crashing_worker.program(point))
            scene.mark_fault()
            end = asyncio.create_task(crashing.run_to_its_end())
            while not end.done():
                # one of the points is reached only for a new store
                await scene.add_stores(4)
                await asyncio.sleep(1)
            assert await end == -signal.SIGKILL, point
            await scene.wait_until_recovered()
        await product.workers["worker-1"].stop()
        worker = product.new_worker("worker-1")
        worker.mark()
        await worker.start()
        await worker.wait_until_logged(OWNS)


async def test_a_stop_under_load_is_clean_and_nothing_is_done_twice(
    faulty: UnderLoad, tmp_path: Path
) -> None:
    async with faulty("3: SIGTERM under load", workers=1) as scene:
        product, offsets = scene.product, tmp_path / "offsets"
        assert await product.workers["worker-1"].stop() == 0
        worker = product.new_worker("worker-1", program=observed_worker.program(offsets))
        for _ in range(4):
            worker.mark()
            await worker.start()
            await worker.wait_until_logged(OWNS_ALL)
            await scene.wait_until_recovered()
            await scene.load.wait_until_acknowledged(200)
            scene.mark_fault()
            assert await worker.stop() == 0
        await worker.start()

        runs = observed_worker.runs_of(offsets)
        assert len(runs) == 4
        for before, after in pairwise(runs):
            again = {
                partition: f"acknowledged {before[partition].acknowledged}, again from {run.first}"
                for partition, run in after.items()
                if partition in before and run.first <= before[partition].acknowledged
            }
            assert not again


async def test_a_worker_is_paused_for_longer_than_its_session(faulty: UnderLoad) -> None:
    async with faulty("4: SIGSTOP of a worker for longer than its session", workers=2) as scene:
        victim, heir = (scene.product.workers[name] for name in ("worker-1", "worker-2"))
        victim.may_end(FENCED)
        for _ in range(2):
            victim.mark()
            heir.mark()
            scene.mark_fault()
            victim.pause()
            await heir.wait_until_logged(OWNS_ALL)
            # newer polls of the same stores, in buckets for which the victim has records in flight
            await scene.load.wait_until_acknowledged(1000)
            victim.resume()
            await victim.wait_until_logged(f"{FENCED}|{OWNS}")
            await victim.wait_until_logged(OWNS)
            # otherwise a report could wait for both pauses and reach its deadline
            await scene.wait_until_recovered()


async def test_workers_come_and_go(faulty: UnderLoad) -> None:
    async with faulty("5: workers added and removed", workers=1) as scene:
        product = scene.product
        for name in ("worker-2", "worker-3"):
            scene.mark_fault()
            added = await product.add_worker(name)
            await added.wait_until_logged(OWNS)
            await scene.load.wait_until_acknowledged(300)
        for name in ("worker-1", "worker-3"):
            heir = product.workers["worker-2"]
            heir.mark()
            scene.mark_fault()
            assert await product.remove_worker(name) == 0
            await heir.wait_until_logged(OWNS)
            await scene.load.wait_until_acknowledged(300)
        assert heir.logged(OWNS_ALL)
