"""One child process: its log, its end, and that it never outlives us."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from stream_app.errors import PrerequisiteError
from stream_app.processes import tie
from stream_app.processes.folders import make_folder
from stream_app.processes.logfile import last_line, open_log

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

POLL: Final = 0.05
"""Seconds between looks at a process; portable, and cheap enough for a handful."""


class Supervised(Protocol):
    """What a supervisor can start, watch and stop."""

    @property
    def name(self) -> str:
        """Its name in messages."""

    @property
    def log(self) -> Path:
        """Where it logs."""

    async def start(self) -> None:
        """Start it; a second start after an end is fine."""

    async def wait(self) -> int | None:
        """Wait for its end; its exit code, -N for signal N, None where nobody can know."""

    async def stop(self) -> None:
        """End it within a time limit; nothing to do where it has ended."""

    def last_words(self) -> str:
        """The line of its log that says most about its end."""


def spawn(
    command: Sequence[str],
    *,
    log: Path,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    tied: bool = True,
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, its output appended to `log`.

    The session keeps Ctrl-C in a terminal from reaching it: its parent stops it in order.

    Args:
        command: program and arguments.
        log: where standard output and error go.
        environment: all variables of the child; None: ours.
        folder: its working folder; None: ours.
        tied: whether the kernel kills it when we die without stopping it (Linux).

    Raises:
        PrerequisiteError: the program or the folder of the log does not exist or cannot be used.
        RuntimeError: a tied start outside the main thread. The kernel sends the signal when the
            *thread* that started the child ends.
    """
    if tied:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("a tied child must be started from the main thread")
        # -I -S: nothing of the caller's environment, and no time lost on site-packages
        shim = [sys.executable, "-I", "-S", str(Path(tie.__file__)), str(os.getpid())]
        command = [*shim, *command]
    make_folder(log.parent)
    descriptor = open_log(log)
    try:
        return subprocess.Popen(  # noqa: S603 - commands come from this package
            command,
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            env=environment,
            cwd=folder,
            start_new_session=True,
        )
    except OSError as error:
        raise PrerequisiteError(f"cannot start {command[0]}: {error.strerror}") from None
    finally:
        os.close(descriptor)


class ChildProcess:
    """A program that is started, watched and stopped by this process alone.

    Args:
        name: its name in messages, and of its log `<log_dir>/NAME.log`.
        command: program and arguments.
        log_dir: folder of the logs.
        environment: all variables of the child; None: ours.
        folder: its working folder; None: ours.
        stop_limit: seconds from SIGTERM to SIGKILL.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log_dir: Path,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        stop_limit: float = 15.0,
    ) -> None:
        self._name = name
        self._command = list(command)
        self._log = log_dir / f"{name}.log"
        self._environment = environment
        self._folder = folder
        self._stop_limit = stop_limit
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @property
    def name(self) -> str:
        """Its name in messages."""
        return self._name

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return self._log

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    async def start(self) -> None:
        """Start it; nothing to do while it runs.

        Raises:
            PrerequisiteError: the program cannot be started.
        """
        if self.pid is not None:
            return
        self._log_start = self._log.stat().st_size if self._log.exists() else 0
        self._process = spawn(
            self._command, log=self._log, environment=self._environment, folder=self._folder
        )

    async def wait(self) -> int | None:
        """Wait for its end; its exit code, -N for signal N, None where it never started."""
        if self._process is None:
            return None
        # asyncio's own way would tie the child to the life of one event loop
        while (code := self._process.poll()) is None:  # noqa: ASYNC110 - as said above
            await asyncio.sleep(POLL)
        return code

    async def stop(self) -> None:
        """SIGTERM, then SIGKILL after the time limit; returns when it has ended."""
        if self._process is None or self.pid is None:
            return
        self._process.send_signal(signal.SIGTERM)
        # a paused process could not act on it
        self._process.send_signal(signal.SIGCONT)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._stop_limit):
                await self.wait()
        if self._process.poll() is None:
            self._process.kill()
            await self.wait()

    def last_words(self) -> str:
        """The last error that its log holds since its start, or the last line."""
        return last_line(self._log, since=(self._log_start,))
