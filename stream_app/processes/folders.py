"""Folders and small files of the data dir."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from stream_app.errors import PrerequisiteError

if TYPE_CHECKING:
    from pathlib import Path


def make_folder(folder: Path) -> Path:
    """Create a folder with its parents where it does not exist.

    Raises:
        PrerequisiteError: it cannot be created or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PrerequisiteError(f"cannot create the folder {folder}: {error.strerror}") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PrerequisiteError(f"cannot write in the folder {folder}")
    return folder


def write_whole(path: Path, text: str) -> None:
    """Replace a file so that a reader sees the old or the new content, never a part."""
    incoming = path.with_name(f".{path.name}.{os.getpid()}")
    incoming.write_text(text, encoding="utf-8")
    incoming.replace(path)
