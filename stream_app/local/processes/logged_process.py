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

PRIVATE: Final = 0o077
"""The umask of every child: what it writes is for this user alone."""

_LOG_SECONDS: Final = 2.0
_LOG_POLL: Final = 0.01


class LoggedProcess:
    """A running program and the process that writes its log; `spawn` makes them.

    The pipe between the two is held open here as well: a log writer that is killed is replaced by
    another that goes on with the same pipe.

    Args:
        process: the program.
        output: the end of its pipe that is read; closed when the program has ended.
        log: the file that gets its output.
    """

    def __init__(self, process: subprocess.Popen[bytes], output: int, log: Path) -> None:
        self._process = process
        self._output: int | None = output
        self._log = log
        self._writer = _start_writer(output, log)

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Return its exit code when `poll` has seen its end."""
        return self._process.returncode

    def poll(self) -> int | None:
        """Return its exit code, -N for signal N; None while it runs."""
        code = self._process.poll()
        if self._output is not None:
            if code is not None:
                os.close(self._output)
                self._output = None
            elif self._writer.poll() is not None:
                self._writer = _start_writer(self._output, self._log)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal; nothing to do where it has ended."""
        self._process.send_signal(number)

    async def log_written(self) -> None:
        """Wait, once it has ended, until all that it printed is in its log."""
        with suppress(TimeoutError):
            # it takes that long only if something that the program started still runs
            async with asyncio.timeout(_LOG_SECONDS):
                while self._writer.poll() is None:  # noqa: ASYNC110 - as for the program itself
                    await asyncio.sleep(_LOG_POLL)


def spawn(
    command: Sequence[str],
    *,
    log: Path,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    tied: bool = True,
) -> LoggedProcess:
    """Start a program in a session of its own, its output appended to `log`.

    The session keeps Ctrl-C in a terminal from reaching it: its parent stops it in order.

    Args:
        command: program and arguments.
        log: the file that gets its standard output and error.
        environment: all variables of the child; None for those of this process.
        folder: its working folder; None for those of this process.
        tied: whether the kernel kills it when we die without stopping it (Linux).

    Raises:
        PrerequisiteError: the program or the log cannot be used.
        RuntimeError: a tied start outside the main thread. The kernel sends the signal when the
            *thread* that started the child ends.
    """
    if tied:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("a tied child must be started from the main thread")
        # -I -S: nothing of the caller's environment, and no time lost on site-packages
        shim = [sys.executable, "-I", "-S", str(Path(parent_death.__file__)), str(os.getpid())]
        command = [*shim, *command]
    make_folder(log.parent)
    _require_writable(log)
    try:
        output, its_end = os.pipe()
    except OSError as error:
        raise PrerequisiteError(f"cannot start {command[0]}: {error.strerror}") from None
    try:
        process = subprocess.Popen(  # noqa: S603 - commands come from this package
            command,
            stdin=subprocess.DEVNULL,
            stdout=its_end,
            stderr=its_end,
            env=environment,
            cwd=folder,
            start_new_session=True,
            umask=PRIVATE,
        )
    except OSError as error:
        os.close(output)
        raise PrerequisiteError(f"cannot start {command[0]}: {error.strerror}") from None
    finally:
        os.close(its_end)
    return LoggedProcess(process, output, log)


def _require_writable(log: Path) -> None:
    try:
        log_writer.RotatedFile(str(log)).close()
    except OSError as error:
        raise PrerequisiteError(f"cannot write the log {log}: {error.strerror}") from None


def _start_writer(output: int, log: Path) -> subprocess.Popen[bytes]:
    program = Path(log_writer.__file__)
    return subprocess.Popen(  # noqa: S603 - a program of this package
        [sys.executable, "-I", "-S", str(program), str(log.absolute())],
        stdin=output,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # it must not hold a folder that someone unmounts
        cwd="/",
        # it ends with its input, after the child: whatever stops us must not stop it
        start_new_session=True,
    )
