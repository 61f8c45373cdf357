"""Finds the line in the log of a child process that explains its end best."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_TAIL_BYTES: Final = 262_144
_FULL_DISK_BYTES: Final = 65_536
_LONGEST_LINE: Final = 240
_LONGEST_END: Final = 80
_TERMINAL_CODES: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_ERROR_WORDS: Final = re.compile(
    r"\b(?:ERROR|FATAL|CRITICAL|Error|Exception|error)\b|Error:|Exception:"
)

_SYSTEM_ERRORS: Final = re.compile(
    "No space left on device|File too large|Disk quota exceeded|Read-only file system"
    "|Input/output error|Too many open files|Cannot allocate memory|OutOfMemoryError"
    "|Could not (?:reserve enough|allocate)|insufficient memory"
)
"""Matches an error of the operating system, which causes the errors in the lines below it."""


@dataclass(frozen=True, slots=True)
class LogPosition:
    """A position in a log, which stays valid when the log is renamed.

    Attributes:
        inode: number of the file in its file system; 0 if there was no log.
        offset: bytes before the position.
    """

    inode: int = 0
    offset: int = 0


def end_position(log: Path) -> LogPosition:
    """Return the position at which a log ends now."""
    try:
        state = log.stat()
    except OSError:
        return LogPosition()
    return LogPosition(state.st_ino, state.st_size)


def find_error_line(*logs: Path, since: Sequence[LogPosition] | None = None) -> str:
    """Find the line that explains the end of a process best.

    It is the last line with an error of the operating system. If there is none, it is the last line
    with any error, or else the last line. A note is added if the disk of the log is full.

    Args:
        logs: the logs of the process; of two such lines the one in the later log counts.
        since: the ends of the logs at the start of the process, to leave out older lines.
    """
    last = ""
    error = ""
    cause = ""
    for index, log in enumerate(logs):
        for line in _lines(log, since[index] if since else LogPosition()):
            last = line
            if _ERROR_WORDS.search(line):
                error = line
            if _SYSTEM_ERRORS.search(line):
                cause = line
    shortened = _shortened(cause or error or last)
    if not cause and logs and _is_disk_full(logs[-1]):
        # the reason for the end could not be logged then
        return f"{shortened} (the disk of its log is full)".strip()
    return shortened


def _is_disk_full(log: Path) -> bool:
    try:
        state = os.statvfs(log.parent)
    except OSError:
        return False
    return state.f_bavail * state.f_frsize < _FULL_DISK_BYTES


def _shortened(line: str) -> str:
    """Cut the middle out of a long line: it begins with what failed and ends with the reason."""
    if len(line) <= _LONGEST_LINE:
        return line
    return f"{line[: _LONGEST_LINE - _LONGEST_END - 5]} ... {line[-_LONGEST_END:]}"


def _lines(log: Path, since: LogPosition) -> list[str]:
    newest = _tail(log, since)
    # a new file may have just been begun, without the lines before it
    older = b"" if _is_same_file(log, since) else _tail(log.with_name(f"{log.name}.1"), since)
    text = (older + newest)[-_TAIL_BYTES:].decode(errors="replace")
    text = _TERMINAL_CODES.sub("", text)
    # lines of a stack trace are indented; they explain nothing without the others
    return [line.strip() for line in text.splitlines() if line.strip() and not line[0].isspace()]


def _is_same_file(log: Path, position: LogPosition) -> bool:
    return end_position(log).inode == position.inode


def _tail(log: Path, since: LogPosition) -> bytes:
    try:
        with log.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            start = since.offset if _is_same_file(log, since) and since.offset <= end else 0
            file.seek(max(start, end - _TAIL_BYTES))
            return file.read()
    except OSError:
        return b""
