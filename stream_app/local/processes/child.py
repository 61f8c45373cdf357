"""Starts, watches and stops one child process, which logs to a file and never outlives this one."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol

from stream_app.local.processes.liveness import answers_http
from stream_app.local.processes.log_file import LogPosition, end_position, find_error_line
from stream_app.local.processes.logged_process import LoggedProcess, spawn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

EXIT_POLL_SECONDS: Final = 0.05
"""Seconds between two checks of whether a process has ended."""


class Supervised(Protocol):
    """A process that a supervisor can start, watch and stop."""

    @property
    def name(self) -> str:
        """Return its name in messages."""

    @property
    def log(self) -> Path:
        """Return the path of its log."""

    @property
    def pid(self) -> int | None:
        """Return its process id while it runs."""

    async def start(self) -> None:
        """Start it, also again after it has ended."""

    async def answers(self, limit: float) -> bool | None:
        """Ask whether it is alive; a paused process does not answer within `limit` seconds.

        Returns:
            None if it could not be asked.
        """

    async def wait(self) -> int | None:
        """Wait for its end and return its exit code: -N for signal N, None if it is not known."""

    async def stop(self) -> None:
        """End it within a time limit; do nothing if it has ended already."""

    async def kill(self) -> None:
        """End it with SIGKILL; do nothing if it has ended already."""

    def last_error_line(self) -> str:
        """Return the line of its log that explains its end best."""


class ChildProcess:
    """A program that is started, watched and stopped by this process alone.

    Args:
        name: the name in messages and in the path of its log, `<log_dir>/NAME.log`.
        command: program and arguments.
        log_dir: folder of the logs.
        environment: all variables of the child; None for those of this process.
        stop_limit: seconds from SIGTERM to SIGKILL.
        health: returns the address of its HTTP server, which answers `/healthz` while it is
            alive; None if it has no server, or not yet.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log_dir: Path,
        environment: Mapping[str, str] | None = None,
        stop_limit: float = 15.0,
        health: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._name = name
        self._command = list(command)
        self._log = log_dir / f"{name}.log"
        self._environment = environment
        self._stop_limit = stop_limit
        self._health = health
        self._process: LoggedProcess | None = None
        self._log_start = LogPosition()

    @property
    def name(self) -> str:
        """Return its name in messages."""
        return self._name

    @property
    def log(self) -> Path:
        """Return the path of its log."""
        return self._log

    @property
    def pid(self) -> int | None:
        """Return its process id while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    async def start(self) -> None:
        """Start it; do nothing if it runs already.

        Raises:
            PrerequisiteError: the program cannot be started.
        """
        if self.pid is not None:
            return
        self._log_start = end_position(self._log)
        self._process = spawn(self._command, log=self._log, environment=self._environment)

    async def wait(self) -> int | None:
        """Wait for its end and its log; return its exit code, or None if it was never started."""
        if self._process is None:
            return None
        # a process of asyncio's own could only be waited for in the event loop that started it
        while (code := self._process.poll()) is None:  # noqa: ASYNC110 - see the line above
            await asyncio.sleep(EXIT_POLL_SECONDS)
        await self._process.log_written()
        return code

    async def answers(self, limit: float) -> bool | None:
        """Ask whether its server answers within `limit` seconds; None if it cannot be asked."""
        address = self._health()
        return False if address is None else await answers_http(f"{address}/healthz", limit)

    async def stop(self) -> None:
        """Send SIGTERM, then SIGKILL after the time limit; return when it has ended."""
        if self._process is None or self.pid is None:
            return
        self._process.send_signal(signal.SIGTERM)
        # a paused process handles no SIGTERM until it continues
        self._process.send_signal(signal.SIGCONT)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._stop_limit):
                await self.wait()
        await self.kill()

    async def kill(self) -> None:
        """Send SIGKILL; return when it has ended."""
        if self._process is not None and self.pid is not None:
            self._process.send_signal(signal.SIGKILL)
            await self.wait()

    def last_error_line(self) -> str:
        """Return the last error in its log since its start, or else the last line."""
        return find_error_line(self._log, since=[self._log_start])
