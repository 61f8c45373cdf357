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
    """The period of the probes, and the number of failures that end a process.

    Attributes:
        period_seconds: the time between two probes, and the longest wait for an answer;
            0 for no probes, as is right for a process that is looked at with a debugger.
        failure_threshold: probes in a row without an answer after which a child is frozen.
    """

    period_seconds: float = 5.0
    failure_threshold: int = 6


USUAL: Final = Liveness()


class FailedProbes:
    """Counts the probes in a row that a process has not answered.

    Probes are counted, and not the time since the last answer: a laptop that was asleep for an
    hour has asked nobody meanwhile, and each of its processes answers the next probe. A process
    that has never answered is still starting, which takes as long as it takes, unless it is
    stopped by a signal; one that a debugger holds is left alone.
    """

    def __init__(self) -> None:
        self._pid: int | None = None
        self._has_answered = False
        self.count = 0

    def add(self, pid: int | None, *, answered: bool | None) -> None:
        """Count a probe.

        Args:
            pid: the process that was asked; None if no process runs, which others notice.
            answered: whether it answered; None if it could not be asked, which is not its fault.
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
        None if the server could not be asked.
    """
    timeout = aiohttp.ClientTimeout(total=limit)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=False) as session,
            session.get(url),
        ):
            return True
    except (aiohttp.ClientError, OSError) as error:  # TimeoutError is one
        return None if is_ours_to_mend(error) else False


def is_ours_to_mend(error: Exception) -> bool:
    """Check whether this process could not ask at all: it has no descriptors or memory left."""
    return getattr(error, "errno", None) in {errno.EMFILE, errno.ENFILE, errno.ENOMEM}


def is_stopped(pid: int) -> bool:
    """Check whether a signal has stopped the process."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_STOPPED
    except psutil.Error:
        return False


def is_held_by_debugger(pid: int) -> bool:
    """Check whether another process traces this one; False outside Linux, where nothing tells."""
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    # psutil does not tell
    return re.search(r"^TracerPid:\s*[1-9]", text, re.MULTILINE) is not None
