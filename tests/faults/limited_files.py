"""Runs a program whose files cannot grow beyond a size, as on a full disk.

    python -m tests.faults.limited_files FILE PROGRAM [ARGUMENT...]

FILE has the largest size in bytes that a file may have; without FILE there is no limit. It is
read at every start. Unlike a small disk, this needs neither root nor a file system of its own.
"""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

TOO_LARGE: Final = "File too large"
"""The system's message, which takes the place of `No space left on device`."""


def program(limit: Path, command: Sequence[str]) -> list[str]:
    """Return the command that runs `command` with limited files, for `Deployment.new_worker`."""
    return [sys.executable, "-m", "tests.faults.limited_files", str(limit), *command]


def limit_now(pid: int, size: int) -> None:
    """Let no file of a running process grow beyond a size, until the process ends."""
    _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, most))


def main() -> None:
    """Set the limit, then execute the program in this process."""
    limit = Path(sys.argv[1])
    if limit.exists():
        limit_now(os.getpid(), int(limit.read_text()))
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606  this process becomes the program


if __name__ == "__main__":
    main()
