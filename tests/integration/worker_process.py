"""Runs a worker as a process of its own, for tests that share one broker."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from stream_app.local.processes.environment import environment_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from stream_app.settings import Settings


class WorkerProcess:
    """A worker that runs as a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, wait for the end, and return the exit code."""
        if self._process.returncode is None:
            self._process.send_signal(number)
        return await self._process.wait()

    async def wait_until_ended(self) -> int:
        """Wait until the worker ends by itself, and return its exit code."""
        return await self._process.wait()


@asynccontextmanager
async def running_worker(
    settings: Settings, name: str = "worker-1", log_file: Path | None = None
) -> AsyncIterator[WorkerProcess]:
    """Start a worker on the settings' data dir, and stop it at the end of the block."""
    with (log_file or Path(os.devnull)).open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "stream_app.cli.main", "worker", "--name", name),
            env=environment_of(settings, os.environ),
            stderr=log,
        )
    worker = WorkerProcess(process)
    try:
        yield worker
    finally:
        await worker.stop()
