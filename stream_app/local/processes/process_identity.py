"""Checks whether a process id still belongs to the process that we started.

A process id from a file may have been given to a stranger since: the command line tells.
"""

from __future__ import annotations

import psutil


def command_line(pid: int) -> list[str]:
    """Read the program and the arguments of a process; empty if it does not run.

    A zombie has no command line, so it counts as ended.
    """
    try:
        return psutil.Process(pid).cmdline()
    except psutil.Error:
        return []


def is_ours(pid: int | None, marker: str) -> bool:
    """Check whether `pid` runs and has `marker` (say, the path of its settings) as an argument."""
    return pid is not None and marker in command_line(pid)
