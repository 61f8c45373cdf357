"""Reads CPU time and memory of processes from the counts of the kernel (Linux)."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.errors import NotRunError

if TYPE_CHECKING:
    from collections.abc import Mapping

MEGABYTE: Final = 1_000_000
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_CPU_FIELDS: Final = slice(11, 13)
"""The fields utime and stime in /proc/PID/stat, counted after the name of the command."""


def require_proc() -> None:
    """Check that there is /proc.

    Raises:
        NotRunError: there is none.
    """
    if not Path("/proc/self/status").exists():
        raise NotRunError("memory and CPU are read from /proc: run the benchmarks on Linux")


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds, user and system, of a running process and its threads."""
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    return ticks_of(stat) / _TICKS


def ticks_of(stat: str) -> int:
    """Return user and system ticks from /proc/PID/stat, in which the command may have spaces."""
    return sum(map(int, stat.rpartition(")")[2].split()[_CPU_FIELDS]))


def resident_megabytes(pid: int) -> tuple[float, float]:
    """Return the resident memory of a running process: the present and the largest so far."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    return megabytes_in(status, "VmRSS"), megabytes_in(status, "VmHWM")


def written_bytes(pid: int) -> float:
    """Return the bytes that a running process has written to the disk."""
    counts = Path(f"/proc/{pid}/io").read_text(encoding="ascii")
    return float(re.search(r"^write_bytes: (\d+)$", counts, re.MULTILINE)[1])  # type: ignore[index]


def megabytes_in(status: str, name: str) -> float:
    """Return a size in /proc/PID/status in MB; the file has it in KiB.

    Raises:
        ValueError: there is no such line, because the process has ended.
    """
    for line in status.splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0]) * 1024 / MEGABYTE
    raise ValueError(f"no {name}: the process has ended")


class CpuMeter:
    """Counts the CPU seconds of some processes, and of this one as `load`, since its creation."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = dict(pids)
        self._before = self._now()

    def _now(self) -> dict[str, float]:
        seconds = {name: cpu_seconds(pid) for name, pid in self._pids.items()}
        return seconds | {"load": time.process_time()}

    def figures(self) -> dict[str, float]:
        """Return `cpu_NAME` for each process."""
        now = self._now()
        return {f"cpu_{name}": now[name] - before for name, before in self._before.items()}
