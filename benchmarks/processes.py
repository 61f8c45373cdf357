"""CPU time and memory of processes, as the kernel counts them (Linux)."""

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
"""The places of utime and stime in /proc/PID/stat, counted from behind the command's name."""


def require_proc() -> None:
    """Refuse to run where there is no /proc.

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
    """User and system ticks in the text of /proc/PID/stat; the command may hold spaces."""
    return sum(map(int, stat.rpartition(")")[2].split()[_CPU_FIELDS]))


def resident_megabytes(pid: int) -> tuple[float, float]:
    """Resident memory of a running process: now, and the most it ever was."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    return megabytes_in(status, "VmRSS"), megabytes_in(status, "VmHWM")


def written_bytes(pid: int) -> float:
    """Return the bytes that a running process gave to the disk."""
    counts = Path(f"/proc/{pid}/io").read_text(encoding="ascii")
    return float(re.search(r"^write_bytes: (\d+)$", counts, re.MULTILINE)[1])  # type: ignore[index]


def megabytes_in(status: str, name: str) -> float:
    """Return a line of /proc/PID/status, which counts in KiB, in MB.

    Raises:
        ValueError: no such line: the process has ended.
    """
    for line in status.splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0]) * 1024 / MEGABYTE
    raise ValueError(f"no {name}: the process has ended")


class CpuMeter:
    """CPU seconds of some processes, and of this one as `load`, since it was made."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = dict(pids)
        self._before = self._now()

    def _now(self) -> dict[str, float]:
        taken = {name: cpu_seconds(pid) for name, pid in self._pids.items()}
        return taken | {"load": time.process_time()}

    def figures(self) -> dict[str, float]:
        """Return `cpu_NAME` for each process."""
        now = self._now()
        return {f"cpu_{name}": now[name] - before for name, before in self._before.items()}
