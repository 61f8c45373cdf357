"""Finds the line in the log of a child process that says most about its end."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_TAIL: Final = 262_144
_FULL_BYTES: Final = 65_536
_LONGEST: Final = 240
_LONGEST_END: Final = 80
_TERMINAL: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_TELLING: Final = re.compile(
    r"\b(?:ERROR|FATAL|CRITICAL|Error|Exception|error)\b|Error:|Exception:"
)

_CAUSE: Final = re.compile(
    "No space left on device|File too large|Disk quota exceeded|Read-only file system"
    "|Input/output error|Too many open files|Cannot allocate memory|OutOfMemoryError"
    "|Could not (?:reserve enough|allocate)|insufficient memory"
)
"""Matches a refusal of the system: the errors behind such a line follow from it."""


@dataclass(frozen=True, slots=True)
class LogPlace:
    """A place in a log that may be moved aside later.

    Attributes:
        file: number of the file in its file system; 0 if there was no log.
        size: how long it was.
    """

    file: int = 0
    size: int = 0


def end_of(log: Path) -> LogPlace:
    """Note the place at which a log ends now."""
    try:
        state = log.stat()
    except OSError:
        return LogPlace()
    return LogPlace(state.st_ino, state.st_size)


def last_line(*logs: Path, since: Sequence[LogPlace] | None = None) -> str:
    """Find the line that says most about an end.

    That is the last one in which the system refused something, or else the last error in the
    logs, or the last line. Where the disk has no room for such a line, that is said instead.

    Args:
        logs: the more telling one last.
        since: the ends of the logs at the start of the process, to leave out older lines.
    """
    last = ""
    error = ""
    cause = ""
    for index, log in enumerate(logs):
        for line in _lines(log, since[index] if since else LogPlace()):
            last = line
            if _TELLING.search(line):
                error = line
            if _CAUSE.search(line):
                cause = line
    shortened = _shortened(cause or error or last)
    if not cause and logs and _is_disk_full(logs[-1]):
        # then the reason could not be logged either
        return f"{shortened} (the disk of its log is full)".strip()
    return shortened


def _is_disk_full(log: Path) -> bool:
    try:
        state = os.statvfs(log.parent)
    except OSError:
        return False
    return state.f_bavail * state.f_frsize < _FULL_BYTES


def _shortened(line: str) -> str:
    """Cut the middle out of a long line: what failed comes first, and why comes last."""
    if len(line) <= _LONGEST:
        return line
    return f"{line[: _LONGEST - _LONGEST_END - 5]} ... {line[-_LONGEST_END:]}"


def _lines(log: Path, since: LogPlace) -> list[str]:
    newest = _tail(log, since)
    # the newest log may have just begun
    older = b"" if _is(log, since) else _tail(log.with_name(f"{log.name}.1"), since)
    text = (older + newest)[-_TAIL:].decode(errors="replace")
    text = _TERMINAL.sub("", text)
    # lines of a stack trace are indented and say nothing on their own
    return [line.strip() for line in text.splitlines() if line.strip() and not line[0].isspace()]


def _is(log: Path, place: LogPlace) -> bool:
    return end_of(log).file == place.file


def _tail(log: Path, since: LogPlace) -> bytes:
    try:
        with log.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            start = since.size if _is(log, since) and since.size <= end else 0
            file.seek(max(start, end - _TAIL))
            return file.read()
    except OSError:
        return b""
