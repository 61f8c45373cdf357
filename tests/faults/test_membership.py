"""Fault 21: a change of membership comes during the restore that the last change caused.

No scenario here waits until a worker owns its assignment. The changelog that is restored has a
hundred thousand records (`archive.py`), so a restore takes long enough to be interrupted.
`STORE_UPTIME_TEST_RUNS` sets how often the random scenario runs, `STORE_UPTIME_TEST_SEED` which
changes it makes; the table at the end shows the seed and the changes of each run.
"""

from __future__ import annotations

import asyncio
import os
import random
from typing import TYPE_CHECKING, Final

import pytest

from tests.faults.archive import Archive, make_archive
from tests.faults.changes import Changes
from tests.faults.deployment import ASSIGNED, FENCED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.faults.conftest import UnderLoad
    from tests.faults.deployment import Process
    from tests.faults.scenario import Scenario

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.timeout(600)]

RUNS: Final = int(os.environ.get("STORE_UPTIME_TEST_RUNS", "2"))
SEED: Final = int(os.environ.get("STORE_UPTIME_TEST_SEED", "1"))

_CHANGES_A_RUN: Final = 5
_REBALANCE_SECONDS: Final = 4.0
"""The longest wait for the rebalance of a change; some changes cause none."""

_CHECK_SECONDS: Final = 0.05


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory, _no_settings_from_outside: None) -> Archive:
    """Make a product with a hundred thousand changelog records."""
    return asyncio.run(make_archive(tmp_path_factory.mktemp("archive")))


async def test_a_worker_joins_while_another_restores(faulty: UnderLoad, archive: Archive) -> None:
    async with faulty(
        "21: a third worker joins while the second restores", workers=1, archive=archive
    ) as scene:
        for name in ("worker-2", "worker-3"):
            scene.mark_fault()
            joined = await scene.product.add_worker(name)
            await joined.wait_until_logged(ASSIGNED)
        await _wait_until_calm(scene)


async def test_a_worker_is_replaced(faulty: UnderLoad, archive: Archive) -> None:
    async with faulty(
        "21: a new worker started, the old one stopped at once", workers=1, archive=archive
    ) as scene:
        for number in (1, 2):
            scene.mark_fault()
            newcomer = await scene.product.add_worker(f"worker-{number + 1}")
            await newcomer.wait_until_logged(ASSIGNED)
            assert await scene.product.remove_worker(f"worker-{number}") == 0
        await _wait_until_calm(scene)


@pytest.mark.parametrize("run", range(RUNS))
async def test_a_rebalance_falls_into_a_restore(
    faulty: UnderLoad, archive: Archive, run: int
) -> None:
    seed = SEED + run
    print(f"seed {seed}")
    randomness = random.Random(seed)
    async with faulty(
        f"21: changes at random instants of a restore (seed {seed})", archive=archive
    ) as scene:
        changes = Changes(scene.product, randomness)
        try:
            for _ in range(_CHANGES_A_RUN):
                scene.mark_fault()
                log_sizes = _log_sizes(scene.product.workers.values())
                change = await changes.make_one()
                await _wait_until_one_is_assigned(log_sizes)
                pause = randomness.uniform(0, archive.restore_seconds)
                scene.changes.append(f"{change}, {pause:.1f} s")
                print(scene.changes[-1])
                await asyncio.sleep(pause)
            await changes.wait_until_made()
        finally:
            await changes.abandon()
        await _wait_until_calm(scene)
        assert not changes.bad_ends


async def test_two_workers_join_a_second_apart(faulty: UnderLoad, archive: Archive) -> None:
    async with faulty("21: two workers join a second apart", workers=1, archive=archive) as scene:
        scene.mark_fault()
        await scene.product.add_worker("worker-2")
        await asyncio.sleep(1)
        await scene.product.add_worker("worker-3")
        await _wait_until_calm(scene)


async def test_four_workers_are_restarted_one_after_the_other(
    faulty: UnderLoad, archive: Archive
) -> None:
    async with faulty("21: rolling restart of four workers", workers=4, archive=archive) as scene:
        for worker in scene.product.workers.values():
            scene.mark_fault()
            assert await worker.stop() == 0
            log_size = worker.log_size
            await worker.start()
            await worker.wait_until_logged(ASSIGNED, since=log_size)
        await _wait_until_calm(scene)


async def test_four_workers_are_restarted_at_once(faulty: UnderLoad, archive: Archive) -> None:
    async with faulty("21: all four workers at once", workers=4, archive=archive) as scene:
        product = scene.product
        scene.mark_fault()
        await product.stop_workers()
        await product.start_workers()
        await asyncio.gather(
            *(w.wait_until_logged(ASSIGNED, since=w.log_start) for w in product.workers.values())
        )
        for worker in product.workers.values():
            await scene.kill(worker.name)
        await _wait_until_calm(scene)


async def test_the_broker_is_away_during_a_restore(faulty: UnderLoad, archive: Archive) -> None:
    async with faulty("21: the broker away during a restore", workers=1, archive=archive) as scene:
        (broker,) = scene.product.kafka.nodes
        for worker in scene.product.workers.values():
            worker.may_end(FENCED)
        joined = await scene.product.add_worker("worker-2")
        joined.may_end(FENCED)
        await joined.wait_until_logged(ASSIGNED)
        scene.mark_fault()
        await broker.stop()
        await asyncio.sleep(5)
        await broker.start()
        await scene.product.kafka.wait_until_ready()

        joined = await scene.product.add_worker("worker-3")
        joined.may_end(FENCED)
        await joined.wait_until_logged(ASSIGNED)
        scene.mark_fault()
        broker.pause()
        await asyncio.sleep(12)
        broker.resume()
        await _wait_until_calm(scene)


async def _wait_until_calm(scene: Scenario) -> None:
    """Wait until each worker owns its assignment and each report is complete or failed."""
    await scene.product.wait_until_settled()
    await scene.wait_until_recovered()
    await scene.load.wait_until_acknowledged(200)
    await scene.pause()
    scene.requests.check_deadline()
    scene.resume()


def _log_sizes(workers: Iterable[Process]) -> dict[Process, int]:
    return {worker: worker.log_size for worker in workers}


async def _wait_until_one_is_assigned(log_sizes: dict[Process, int]) -> None:
    """Wait for the rebalance of a change; a short freeze or a quick restart causes none."""
    ends = asyncio.get_running_loop().time() + _REBALANCE_SECONDS
    while asyncio.get_running_loop().time() < ends:
        if any(worker.logged(ASSIGNED, since=size) for worker, size in log_sizes.items()):
            return
        await asyncio.sleep(_CHECK_SECONDS)
