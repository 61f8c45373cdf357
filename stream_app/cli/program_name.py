"""How a person types a command of this program."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import Final

NAME: Final = "store-uptime"


def command_line(*arguments: str) -> str:
    """A command that a shell runs as it is, in the folder that this program runs in.

    The program is named by its path where the name alone would not find it.
    """
    started = Path(sys.argv[0])
    found = shutil.which(NAME)
    if started.name != NAME or (found is not None and Path(found).samefile(started)):
        return shlex.join([NAME, *arguments])
    if started.is_absolute() and started.is_relative_to(Path.cwd()):
        started = started.relative_to(Path.cwd())
    return shlex.join([str(started), *arguments])
