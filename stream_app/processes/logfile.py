"""Log files of child processes: appended, bounded, and quoted in error lines."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

LARGEST_LOG: Final = 10_000_000
"""Bytes from which the next start moves a log aside."""

_TAIL: Final = 262_144
_LONGEST: Final = 240
_LONGEST_END: Final = 80
_TERMINAL: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_TELLING: Final = re.compile(
    r"\b(?:ERROR|FATAL|CRITICAL|Error|Exception|error)\b|Error:|Exception:"
)

_CAUSE: Final = re.compile(
    "No space left on device|File too large|Disk quota exceeded|Read-only file system"
    "|Input/output error|Too many open files"
)
"""What the system refused: the errors behind such a line follow from it."""


def open_log(path: Path) -> int:
    """A descriptor that appends to the log; a large old one becomes `NAME.log.1`."""
    try:
        if path.stat().st_size > LARGEST_LOG:
            path.replace(path.with_name(path.name + ".1"))
    except FileNotFoundError:
        pass
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)


def last_line(*paths: Path, since: tuple[int, ...] | None = None) -> str:
    """The line that tells most about an end.

    That is the last one in which the system refused something, or else the last error in the
    logs, or the last line.

    Args:
        paths: the logs, the more telling one last.
        since: sizes of the logs at the start of the process, to leave out older lines.
    """
    last = ""
    error = ""
    cause = ""
    for index, path in enumerate(paths):
        for line in _lines(path, since[index] if since else 0):
            last = line
            if _TELLING.search(line):
                error = line
            if _CAUSE.search(line):
                cause = line
    return _shortened(cause or error or last)


def _shortened(line: str) -> str:
    """Without its middle where it is long: what failed comes first, and why comes last."""
    if len(line) <= _LONGEST:
        return line
    return f"{line[: _LONGEST - _LONGEST_END - 5]} ... {line[-_LONGEST_END:]}"


def _lines(path: Path, start: int) -> list[str]:
    try:
        with path.open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            # a log that was moved aside since begins anew
            log.seek(max(start if start <= end else 0, end - _TAIL))
            text = log.read().decode(errors="replace")
    except OSError:
        return []
    text = _TERMINAL.sub("", text)
    # lines of a stack trace are indented and say nothing on their own
    return [line.strip() for line in text.splitlines() if line.strip() and not line[0].isspace()]
