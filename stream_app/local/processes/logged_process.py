"""Starts a program whose output goes into a log of bounded size."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stream_app.errors import PrerequisiteError
from stream_app.local.processes import log_writer, parent_death
from stream_app.local.processes.files import make_folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PRIVATE_UMASK: Final = 0o077
"""The umask of every child process, so that only this user can use the files that it makes."""

_LOG_LIMIT_SECONDS: Final = 2.0
_LOG_POLL_SECONDS: Final = 0.01


class LoggedProcess:
    """A running program and the process that writes its log; `spawn` makes them.

    This process also keeps the pipe between the two open. If the log writer is killed, `poll`
    starts another one, which goes on with the same pipe. Only what the killed one had read and not
    written yet is lost.

    Args:
        process: the program.
        read_end: the end of its pipe that the log writer reads; closed after the program's end.
        log: the file that gets its output.
    """

    def __init__(self, process: subprocess.Popen[bytes], read_end: int, log: Path) -> None:
        self._process = process
        self._read_end: int | None = read_end
        self._log = log
        self._writer = _start_writer(read_end, log)

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Return its exit code; None until `poll` has noticed its end."""
        return self._process.returncode

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs; replace a log writer that was killed.

        The exit code is -N after signal N.
        """
        code = self._process.poll()
        if self._read_end is not None:
            # 0 is the end of its input; after a kill the pipe may still have lines, even if the
            # program has ended since
            if self._writer.poll() not in (None, 0):
                self._writer = _start_writer(self._read_end, self._log)
            if code is not None:
                os.close(self._read_end)
                self._read_end = None
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal; do nothing if it has ended."""
        self._process.send_signal(number)

    async def log_written(self) -> None:
        """Wait until all that it printed is in its log; call it when the program has ended."""
        with suppress(TimeoutError):
            # the limit is reached only if another process that the program started still runs
            async with asyncio.timeout(_LOG_LIMIT_SECONDS):
                while self._writer.poll() is None:  # noqa: ASYNC110 - as in `ChildProcess.wait`
                    await asyncio.sleep(_LOG_POLL_SECONDS)


def spawn(
    command: Sequence[str],
    *,
    log: Path,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    tied: bool = True,
) -> LoggedProcess:
    """Start a program in a session of its own, with its output appended to `log`.

    Ctrl-C in a terminal does not reach another session, so its parent can stop it in order.

    Args:
        command: program and arguments.
        log: the file that gets its standard output and standard error.
        environment: all variables of the child; None for those of this process.
        folder: its working folder; None for those of this process.
        tied: whether the kernel kills it when this process dies without stopping it (Linux).

    Raises:
        PrerequisiteError: the program or the log cannot be used.
        RuntimeError: a tied start outside the main thread. The kernel sends the signal when the
            *thread* that started the child ends.
    """
    if tied:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("a tied child must be started from the main thread")
        # -I ignores Python's variables in the environment, -S skips site-packages to start quickly
        shim = [sys.executable, "-I", "-S", str(Path(parent_death.__file__)), str(os.getpid())]
        command = [*shim, *command]
    make_folder(log.parent)
    _require_writable(log)
    try:
        read_end, write_end = os.pipe()
    except OSError as error:
        raise PrerequisiteError(f"cannot start {command[0]}: {error.strerror}") from None
    try:
        process = subprocess.Popen(  # noqa: S603 - commands come from this package
            command,
            stdin=subprocess.DEVNULL,
            stdout=write_end,
            stderr=write_end,
            env=environment,
            cwd=folder,
            start_new_session=True,
            umask=PRIVATE_UMASK,
        )
    except OSError as error:
        os.close(read_end)
        raise PrerequisiteError(f"cannot start {command[0]}: {error.strerror}") from None
    finally:
        os.close(write_end)
    return LoggedProcess(process, read_end, log)


def _require_writable(log: Path) -> None:
    try:
        log_writer.RotatedFile(str(log)).close()
    except OSError as error:
        raise PrerequisiteError(f"cannot write the log {log}: {error.strerror}") from None


def _start_writer(read_end: int, log: Path) -> subprocess.Popen[bytes]:
    program = Path(log_writer.__file__)
    return subprocess.Popen(  # noqa: S603 - a program of this package
        [sys.executable, "-I", "-S", str(program), str(log.absolute())],
        stdin=read_end,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # its working folder must not keep a file system from being unmounted
        cwd="/",
        # it ends after the child: a signal to all of this process's session must not end it before
        start_new_session=True,
    )
