"""A warm standby: the worker that takes over has the state already, and reads the difference."""

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
"""What comes while a worker stops, and no partition's whole changelog."""


async def test_a_standby_takes_over_with_the_difference(faulty: UnderLoad) -> None:
    async with faulty(
        "22: a worker stopped beside a warm standby", workers=2, stores=60, standby=1
    ) as scene:
        product = scene.product
        await scene.load.acknowledged(2000)
        heir = product.workers["worker-2"]
        await follows(product.worker_folder("worker-2"), partitions=8)
        heir.mark()
        scene.fault()
        assert await product.remove_worker("worker-1") == 0
        await heir.wait_until_said(OWNS_ALL)
        await scene.recovered()

        assert not heir.said("is read back from the changelog")
        assert all(end - start < _MOST_RECORDS for start, end in restores(heir))

        # the new worker becomes the standby of all that the other one owns, and takes over again
        new = await product.add_worker("worker-3")
        await new.wait_until_said(r"own partitions \d")
        await follows(product.worker_folder("worker-3"), partitions=8)
        await scene.load.acknowledged(500)
        new.mark()
        scene.fault()
        await scene.kill("worker-2")
        await product.workers["worker-2"].wait_until_said(r"own partitions \d")
        await scene.recovered()


async def follows(folder: Path, partitions: int) -> None:
    """Wait until a worker has databases of so many partitions."""

    def databases() -> int:
        return len(list(folder.rglob("CURRENT")))

    async with asyncio.timeout(60):
        while await asyncio.to_thread(databases) < partitions:  # noqa: ASYNC110  files tell nobody
            await asyncio.sleep(0.1)
    # and has read what there is: it looks ten times a second
    await asyncio.sleep(1)


def restores(worker: Process) -> list[tuple[int, int]]:
    """Where the restores of a worker began and ended since its last mark."""
    matches = [RESTORED.search(line) for line in worker.said("is restored from changelog")]
    return [(int(match[2]), int(match[3])) for match in matches if match]
