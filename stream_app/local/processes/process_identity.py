"""Is this process id still the process that we started?

A process id from a file may have been given to a stranger since: the command line tells.
"""

from __future__ import annotations

import subprocess
from pathlib import Path


def command_line(pid: int) -> str:
    """The command line of a running process, joined by blanks; empty: no such process.

    A zombie has none, so it counts as ended.
    """
    if Path("/proc/self/cmdline").exists():
        try:
            raw = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return ""
        return raw.decode(errors="surrogateescape").replace("\0", " ").strip()
    answer = subprocess.run(  # noqa: S603 - a fixed command and a number
        ["ps", "-ww", "-o", "command=", "-p", str(pid)],  # noqa: S607 - where there is no /proc
        capture_output=True,
        check=False,
        text=True,
    )
    return answer.stdout.strip()


def is_ours(pid: int | None, marker: str) -> bool:
    """Whether `pid` runs and has `marker` (say, the path of its settings) as an argument."""
    return pid is not None and f" {marker} " in f"{command_line(pid)} "
