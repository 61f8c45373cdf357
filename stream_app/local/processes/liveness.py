"""Liveness probes, as Kubernetes has them: they find out whether a process is frozen."""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
import psutil


@dataclass(frozen=True, slots=True)
class Liveness:
    """The period of the probes, and the number of failures after which a process is killed.

    Attributes:
        period_seconds: the time between two probes, and the longest wait for an answer;
            0 for no probes, for example while a debugger is used.
        failure_threshold: probes in a row without an answer after which a process counts as frozen.
    """

    period_seconds: float = 5.0
    failure_threshold: int = 6


DEFAULT_LIVENESS: Final = Liveness()


class FailedProbes:
    """Counts the probes in a row that a process has not answered.

    The time since the last answer does not count: a laptop that was asleep for an hour has sent no
    probes in that hour, and its processes answer the next one.

    A process that has never answered counts as starting, without a time limit, unless a signal
    has stopped it. Failures of a process in a debugger do not count.
    """

    def __init__(self) -> None:
        self._pid: int | None = None
        self._has_answered = False
        self.count = 0

    def add(self, pid: int | None, *, answered: bool | None) -> None:
        """Add the result of a probe.

        Args:
            pid: the process that was probed; None if no process runs, which is no failed probe.
            answered: True if it answered; None if no probe could be sent, which does not count.
        """
        if pid != self._pid:
            self._pid, self._has_answered, self.count = pid, False, 0
        if answered is None:
            return
        if answered:
            self._has_answered, self.count = True, 0
        elif pid is not None and is_held_by_debugger(pid):
            self.count = 0
        elif pid is not None and (self._has_answered or is_stopped(pid)):
            self.count += 1


async def answers_http(url: str, limit: float) -> bool | None:
    """Ask whether a server answers a GET, with any status, within `limit` seconds.

    Returns:
        None if this process could not send the request.
    """
    timeout = aiohttp.ClientTimeout(total=limit)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=False) as session,
            session.get(url),
        ):
            return True
    except (aiohttp.ClientError, OSError) as error:  # TimeoutError is one
        return None if is_own_failure(error) else False


def is_own_failure(error: Exception) -> bool:
    """Check whether this process itself failed: it has no file descriptors or memory left."""
    return getattr(error, "errno", None) in {errno.EMFILE, errno.ENFILE, errno.ENOMEM}


def is_stopped(pid: int) -> bool:
    """Check whether a signal has stopped the process."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_STOPPED
    except psutil.Error:
        return False


def is_held_by_debugger(pid: int) -> bool:
    """Check whether a debugger traces the process; always False outside Linux."""
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    # psutil does not offer this field
    return re.search(r"^TracerPid:\s*[1-9]", text, re.MULTILINE) is not None
