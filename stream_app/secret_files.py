"""Secrets that stand in files, as Kubernetes, Docker and systemd hand them to a process."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

ENDING: Final = "_FILE"
"""The ending of a variable that names a file which holds a secret."""

MAX_SECRET_BYTES: Final = 64 * 1024


def read_secret(path: Path) -> str:
    """Read a file without the line's end that editors and `echo` add.

    Raises:
        ValueError: the file cannot be read, or is no secret; the message never has its content.
    """
    try:
        text = read_regular_file(path, MAX_SECRET_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text") from None
    secret = text.removesuffix("\n").removesuffix("\r")
    if not secret.strip():
        raise ValueError("is empty")
    if "\0" in secret:
        raise ValueError("has a NUL byte")
    return secret


def read_regular_file(path: Path, most_bytes: int) -> bytes:
    """Read a regular file; a device without an end, or a silent pipe, is refused.

    Raises:
        ValueError: it cannot be read, is no regular file, or has more bytes.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ValueError("is no regular file")
            content = file.read(most_bytes + 1)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror or error}") from None
    if len(content) > most_bytes:
        raise ValueError(f"is larger than {most_bytes // 1024} kB")
    return content
