"""One child process: its log, its end, and that it never outlives us."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol

from stream_app.local.processes.liveness import answers_http
from stream_app.local.processes.log_file import LogPlace, end_of, last_line
from stream_app.local.processes.logged_process import LoggedProcess, spawn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

POLL: Final = 0.05
"""Seconds between looks at a process; portable, and cheap enough for a handful."""


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
        """Start it; a second start after an end is fine."""

    async def answers(self, limit: float) -> bool | None:
        """Ask whether it is alive; a paused process does not answer within `limit` seconds.

        Returns:
            None if it could not be asked.
        """

    async def wait(self) -> int | None:
        """Wait for its end and return its exit code: -N for signal N, None if it is not known."""

    async def stop(self) -> None:
        """End it within a time limit; nothing to do where it has ended."""

    async def kill(self) -> None:
        """End it with SIGKILL; nothing to do where it has ended."""

    def last_error_line(self) -> str:
        """Return the line of its log that says most about its end."""


class ChildProcess:
    """A program that is started, watched and stopped by this process alone.

    Args:
        name: the name in messages and in the path of its log, `<log_dir>/NAME.log`.
        command: program and arguments.
        log_dir: folder of the logs.
        environment: all variables of the child; None for those of this process.
        stop_limit: seconds from SIGTERM to SIGKILL.
        health: address of its HTTP server, whose `/healthz` is asked whether it is alive; None
            if it has no server, or not yet.
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
        self._log_start = LogPlace()

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
        """Start it; nothing to do while it runs.

        Raises:
            PrerequisiteError: the program cannot be started.
        """
        if self.pid is not None:
            return
        self._log_start = end_of(self._log)
        self._process = spawn(self._command, log=self._log, environment=self._environment)

    async def wait(self) -> int | None:
        """Wait for its end and its log, and return its exit code; None if it never started."""
        if self._process is None:
            return None
        # asyncio's own way would tie the child to the life of one event loop
        while (code := self._process.poll()) is None:  # noqa: ASYNC110 - as said above
            await asyncio.sleep(POLL)
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
        # a paused process could not act on it
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
        """Return the last error that its log holds since its start, or the last line."""
        return last_line(self._log, since=[self._log_start])
