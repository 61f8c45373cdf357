"""Commands of this program as a person types them."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import Final

NAME: Final = "store-uptime"


def command_line(*arguments: str) -> str:
    """Write a command that a shell runs as it is, in the folder that this program runs in.

    The program is named by its path where the name alone would not find it.
    """
    started = Path(sys.argv[0])
    on_path = shutil.which(NAME)
    if started.name != NAME or (on_path is not None and Path(on_path).samefile(started)):
        return shlex.join([NAME, *arguments])
    if started.is_absolute() and started.is_relative_to(Path.cwd()):
        started = started.relative_to(Path.cwd())
    return shlex.join([str(started), *arguments])
