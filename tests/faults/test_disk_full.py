"""Fault 19: the disk of a worker, or of a broker, is full."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest

from tests.faults.deployment import OWNS_ALL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.faults.conftest import UnderLoad

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.faults,
    pytest.mark.timeout(420),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk to fill"),
]

FULL: Final = "No space left on device"


class SmallDisk:
    """A file system of few megabytes."""

    def __init__(self, folder: Path) -> None:
        self._filler = folder / "filler"

    def fill(self) -> None:
        """Use all free space, to the last byte."""
        free = shutil.disk_usage(self._filler.parent).free
        with self._filler.open("ab", buffering=0) as filler:
            try:
                while free > 0:
                    free -= filler.write(bytes(min(free, 1 << 20)))
            except OSError:
                pass

    def make_room(self) -> None:
        self._filler.unlink()


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[SmallDisk]:
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    subprocess.run(mount, check=True)
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


async def test_the_disk_of_a_worker_is_full(faulty: UnderLoad, tmp_path: Path) -> None:
    with small_disk(tmp_path / "workers" / "worker-1", 64) as disk:
        async with faulty("19: disk of the only worker full for 15 s", workers=1) as scene:
            worker = scene.product.workers["worker-1"]
            worker.may_end(FULL)
            worker.mark()
            scene.mark_fault()
            disk.fill()
            await worker.wait_until_logged(f"this worker ends: .*{FULL}")
            await asyncio.sleep(15)
            assert "no worker" in await scene.product.readiness()
            disk.make_room()
            worker.mark()
            await worker.wait_until_logged(OWNS_ALL)
            await scene.load.wait_until_acknowledged(300)


async def test_the_disk_of_a_broker_is_full(faulty: UnderLoad, tmp_path: Path) -> None:
    """One of three brokers: a single one may lose on a full disk what it acknowledged last."""
    with small_disk(tmp_path / "kafka" / "node-1", 256) as disk:
        async with faulty("19: disk of one of three brokers full", workers=1, nodes=3) as scene:
            broker = scene.product.kafka.node(1)
            scene.mark_fault()
            # Kafka ends when it cannot write its log
            while broker.pid is not None:
                disk.fill()
                await asyncio.sleep(0.2)
            assert FULL in broker.log.read_text()
            await scene.load.wait_until_acknowledged(300)
            disk.make_room()
            await broker.start()
            await scene.product.kafka.wait_until_ready()
            await scene.load.wait_until_acknowledged(300)
