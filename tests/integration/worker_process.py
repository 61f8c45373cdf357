"""A worker as a process of its own, for tests that share one broker."""

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
    """One that runs."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait; the exit code."""
        if self._process.returncode is None:
            self._process.send_signal(number)
        return await self._process.wait()

    async def ended(self) -> int:
        """Wait for an end that comes by itself; the exit code."""
        return await self._process.wait()


@asynccontextmanager
async def running_worker(
    settings: Settings, name: str = "worker-1", log_file: Path | None = None
) -> AsyncIterator[WorkerProcess]:
    """Start a worker on the settings' data dir; it is stopped at the end."""
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
