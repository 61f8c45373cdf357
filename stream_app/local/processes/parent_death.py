"""Turns this process into another program, which the kernel kills when its parent dies.

    python -I -S parent_death.py PARENT_PID PROGRAM [ARGUMENT...]

It is a program of its own because a `preexec_fn`, which runs Python between fork and exec, can
deadlock in a parent with threads. The parent-death signal, which the kernel sends, stays set after
exec. It is SIGKILL: after a crash of the parent a clean stop might never end, since it could wait
for other processes that are dead too. Outside Linux no signal is set.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Set the parent-death signal, then become the program in the arguments."""
    parent = int(sys.argv[1])
    command = sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            # the parent died before the signal was set, so it is never sent
            raise SystemExit(1)
    try:
        os.execvp(command[0], command)  # noqa: S606 - becoming the program is the point
    except OSError as error:
        raise SystemExit(f"{command[0]}: {error.strerror}") from None


if __name__ == "__main__":
    main()
