"""Writes commands of this program as a person types them."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import Final

NAME: Final = "store-uptime"


def command_line(*arguments: str) -> str:
    """Write a command line that works in the current folder.

    The program is named by its path if a shell would not find it by its name.
    """
    program = Path(sys.argv[0])
    on_path = shutil.which(NAME)
    if program.name != NAME or (on_path is not None and Path(on_path).samefile(program)):
        return shlex.join([NAME, *arguments])
    if program.is_absolute() and program.is_relative_to(Path.cwd()):
        program = program.relative_to(Path.cwd())
    return shlex.join([str(program), *arguments])
