"""Fault 22: a worker that is a warm standby has most facts, and reads only the newest changes."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import pytest

from tests.faults.deployment import OWNS_ALL

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.conftest import UnderLoad
    from tests.faults.deployment import Process

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.faults,
    pytest.mark.faults_short,
    pytest.mark.timeout(300),
]

RESTORED = re.compile(r"partition (\d) is restored from changelog offset (\d+) to (\d+)")
_MOST_RECORDS = 1_000
"""More changelog records than come while a worker stops, and fewer than a partition has."""


async def test_a_standby_becomes_the_owner_and_reads_only_the_newest_changes(
    faulty: UnderLoad,
) -> None:
    async with faulty(
        "22: a worker stopped beside a warm standby", workers=2, stores=60, standby=1
    ) as scene:
        product = scene.product
        await scene.load.wait_until_acknowledged(2000)
        heir = product.workers["worker-2"]
        await wait_for_copies(product.worker_folder("worker-2"), partitions=8)
        heir.mark()
        scene.mark_fault()
        assert await product.remove_worker("worker-1") == 0
        await heir.wait_until_logged(OWNS_ALL)
        await scene.wait_until_recovered()

        assert not heir.logged("is read back from the changelog")
        assert all(end - start < _MOST_RECORDS for start, end in restores(heir))

        # the new worker becomes the standby of all partitions that it does not own
        newcomer = await product.add_worker("worker-3")
        await newcomer.wait_until_logged(r"own partitions \d")
        await wait_for_copies(product.worker_folder("worker-3"), partitions=8)
        await scene.load.wait_until_acknowledged(500)
        newcomer.mark()
        scene.mark_fault()
        await scene.kill("worker-2")
        await product.workers["worker-2"].wait_until_logged(r"own partitions \d")
        await scene.wait_until_recovered()


async def wait_for_copies(folder: Path, partitions: int) -> None:
    """Wait until a worker has a database of each partition, and has copied the changelog."""

    def databases() -> int:
        return len(list(folder.rglob("CURRENT")))

    async with asyncio.timeout(60):
        while await asyncio.to_thread(databases) < partitions:  # noqa: ASYNC110  a file has no event
            await asyncio.sleep(0.1)
    # a standby reads new changelog records ten times a second
    await asyncio.sleep(1)


def restores(worker: Process) -> list[tuple[int, int]]:
    """Return the first and the last changelog offset of each restore since the last mark."""
    matches = [RESTORED.search(line) for line in worker.logged("is restored from changelog")]
    return [(int(match[2]), int(match[3])) for match in matches if match]
