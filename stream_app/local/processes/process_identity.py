"""Checks whether a process id from a file still belongs to the process that was started.

The system may have given the id to another program since; the command line shows whether it has.
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


def runs_with_argument(pid: int | None, argument: str) -> bool:
    """Check whether `pid` runs with this argument, such as the path of its settings."""
    return pid is not None and argument in command_line(pid)
