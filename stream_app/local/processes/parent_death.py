"""Become another program that the kernel kills when this one's parent dies.

    python -I -S parent_death.py PARENT_PID PROGRAM [ARGUMENT...]

A program of its own rather than a `preexec_fn`: running Python between fork and exec can
deadlock where there are threads. The wish survives exec. It is SIGKILL: a process that is left
behind by a crash has lost its peers too, and a clean stop that waits for them might never end.
Outside Linux this is a plain exec.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Tie this process to its parent, then become the program in the arguments."""
    parent = int(sys.argv[1])
    command = sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            # it died before the kernel knew of the wish
            raise SystemExit(1)
    try:
        os.execvp(command[0], command)  # noqa: S606 - becoming the program is the point
    except OSError as error:
        raise SystemExit(f"{command[0]}: {error.strerror}") from None


if __name__ == "__main__":
    main()
