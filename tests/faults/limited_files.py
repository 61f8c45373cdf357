"""A program whose files cannot grow, as on a full disk, for as long as a file says so.

    python -m tests.faults.limited_files FILE PROGRAM [ARGUMENT...]

FILE holds the largest size in bytes that a file may have; without FILE there is no limit. It
is read at every start. Needs no rights and no file system of its own, unlike a small disk.
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
"""What the system says in place of `No space left on device`."""


def program(limit: Path, command: Sequence[str]) -> list[str]:
    """The command of such a program, for `Deployment.new_worker`."""
    return [sys.executable, "-m", "tests.faults.limited_files", str(limit), *command]


def limit_now(pid: int, size: int) -> None:
    """Let no file of a running process grow beyond a size, until the process ends."""
    _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, most))


def main() -> None:
    """Take the limit, then become the program."""
    limit = Path(sys.argv[1])
    if limit.exists():
        limit_now(os.getpid(), int(limit.read_text()))
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606  becoming the program is the point


if __name__ == "__main__":
    main()
