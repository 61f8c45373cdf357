"""Faults 6 to 8: the databases of a worker are lost, damaged, too old or too new."""

from __future__ import annotations

import asyncio
import shutil
from copy import deepcopy
from typing import TYPE_CHECKING

import pytest

from tests.faults.deployment import OWNS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.conftest import UnderLoad
    from tests.faults.scenario import Scenario

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.timeout(420)]

DAMAGED = r"the database of partition \d is damaged .* it is removed and read back"
AHEAD = r"the database of partition \d is ahead of its changelog .* it is removed and read back"


async def test_the_folder_of_a_worker_is_deleted(faulty: UnderLoad) -> None:
    async with faulty("6: a worker's folder deleted, while it ran and while it did not") as scene:
        worker = scene.product.workers["worker-1"]
        folder = scene.product.worker_folder("worker-1")
        scene.mark_fault()
        await asyncio.to_thread(shutil.rmtree, folder)
        await scene.load.wait_until_acknowledged(1000)
        await scene.wait_until_recovered()

        for _ in range(2):
            worker.mark()
            scene.mark_fault()
            assert await worker.stop() == 0
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            await scene.load.wait_until_acknowledged(300)
            await worker.start()
            await worker.wait_until_logged(
                r"no database of partition \d here: it is read back from the changelog"
            )
            await worker.wait_until_logged(OWNS)
            await scene.wait_until_recovered()


async def test_a_table_file_is_corrupted(faulty: UnderLoad) -> None:
    async with faulty("7: an SST file of a worker corrupted") as scene:
        worker = scene.product.workers["worker-1"]
        folder = scene.product.worker_folder("worker-1")
        # at the next start RocksDB writes its log to a table file
        assert await worker.stop() == 0
        worker.mark()
        await worker.start()
        await worker.wait_until_logged(OWNS)
        await scene.load.wait_until_acknowledged(300)
        assert await worker.stop() == 0

        # the damage may be seen at the start, and once more at a later read
        worker.may_end("this worker ends: the database of partition")
        corrupt(max(folder.rglob("*.sst"), key=lambda path: path.stat().st_size))
        worker.mark()
        scene.mark_fault()
        await worker.start()
        await worker.wait_until_logged(DAMAGED)
        await worker.wait_until_logged(OWNS)
        await scene.wait_until_recovered()


async def test_an_old_folder_is_put_back(faulty: UnderLoad, tmp_path: Path) -> None:
    async with faulty("8: a worker's folder older than its changelog") as scene:
        worker = scene.product.workers["worker-1"]
        folder, old = scene.product.worker_folder("worker-1"), tmp_path / "old"
        assert await worker.stop() == 0
        await asyncio.to_thread(shutil.copytree, folder, old)
        worker.mark()
        await worker.start()
        await worker.wait_until_logged(OWNS)
        await scene.load.wait_until_acknowledged(1000)
        assert await worker.stop() == 0
        await scene.load.wait_until_acknowledged(300)

        await asyncio.to_thread(shutil.rmtree, folder)
        await asyncio.to_thread(shutil.copytree, old, folder)
        worker.mark()
        scene.mark_fault()
        await worker.start()
        await worker.wait_until_logged(OWNS)
        await scene.wait_until_recovered()


async def test_the_broker_is_put_back_from_a_backup(faulty: UnderLoad, tmp_path: Path) -> None:
    async with faulty("8: a worker's folder ahead of its changelog", workers=1) as scene:
        worker = scene.product.workers["worker-1"]
        await go_back_to_a_backup(scene, tmp_path / "backup")
        worker.mark()
        scene.mark_fault()
        await scene.product.start()
        await worker.wait_until_logged(AHEAD)
        scene.resume()
        await scene.load.wait_until_acknowledged(1000)


async def test_the_changelog_has_outgrown_a_folder_that_was_ahead(
    faulty: UnderLoad, tmp_path: Path
) -> None:
    """The offsets look like those of an old folder, but they come from another history."""
    async with faulty("8: the same, and the changelog has grown past it", workers=2) as scene:
        product = scene.product
        await go_back_to_a_backup(scene, tmp_path / "backup")
        ahead = product.workers.pop("worker-1")
        scene.mark_fault()
        await product.start()
        scene.resume()
        await scene.load.wait_until_acknowledged(6000)
        product.workers["worker-1"] = ahead
        ahead.mark()
        await ahead.start()
        await ahead.wait_until_logged(OWNS)
        await scene.wait_until_recovered()


async def go_back_to_a_backup(scene: Scenario, backup: Path) -> None:
    """Stop everything, and restore the broker and the ledger from a backup.

    The load pauses around the backup, since later acknowledged facts are lost with the broker.
    """
    await scene.pause()
    await scene.product.stop()
    await scene.product.copy_broker(backup)
    at_backup = deepcopy(scene.ledger)

    await scene.product.start()
    scene.resume()
    await scene.load.wait_until_acknowledged(1000)
    await scene.pause()
    await scene.product.stop()

    await scene.product.put_broker_back(backup)
    scene.ledger.go_back_to(at_backup)


def corrupt(path: Path) -> None:
    """Overwrite the middle of a file."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 4
    content[middle : middle + 200] = b"\xa5" * 200
    path.write_bytes(content)
