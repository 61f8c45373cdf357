"""Folders and small files of the data dir: for this user alone."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from stream_app.data_dir import ENTRIES
from stream_app.errors import PrerequisiteError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PRIVATE_FOLDER: Final = 0o700
SHARED_FOLDER: Final = 0o755
"""The mode of folders with nothing of anybody's stores, such as Kafka's jars."""

PRIVATE_FILE: Final = 0o600

_OTHERS: Final = 0o077


def make_folder(folder: Path, mode: int = PRIVATE_FOLDER) -> Path:
    """Create a folder with its parents where it does not exist.

    Raises:
        PrerequisiteError: it cannot be created or written.
    """
    try:
        for missing in _missing(folder):
            missing.mkdir(mode, exist_ok=True)
        if not folder.is_dir():
            raise PrerequisiteError(f"cannot create the folder {folder}: there is a file")
    except OSError as error:
        raise PrerequisiteError(f"cannot create the folder {folder}: {error.strerror}") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PrerequisiteError(f"cannot write in the folder {folder}")
    return folder


def make_private(data_dir: Path, report: Callable[[str], None]) -> Path:
    """Create the data dir, or take from others the right to read one that was there before.

    A folder that holds other things as well is left as it is, and what is ours in it is not.

    Args:
        data_dir: folder of all state.
        report: takes one line for the person where something was not private.

    Raises:
        PrerequisiteError: it cannot be created or written.
    """
    make_folder(data_dir)
    names = {path.name for path in data_dir.iterdir()}
    is_ours_alone = names <= ENTRIES
    private = [data_dir] if is_ours_alone else []
    private += [data_dir / name for name in sorted(names & ENTRIES)]
    opened = [path for path in private if _is_open_to_others(path)]
    refused = [path for path in opened if not _close_to_others(path)]
    if opened and not refused:
        report(f"others could read {_listed(opened)}: from now on only you can")
    elif refused:
        report(f"others may read {_listed(refused)}: its mode cannot be changed")
    if not is_ours_alone and _is_open_to_others(data_dir):
        report(
            f"the folder {data_dir} holds other things too, so its mode stays as it is: what "
            "store-uptime keeps in it is for you alone"
        )
    return data_dir


def write_whole(path: Path, text: str) -> None:
    """Replace a file, readable by this user alone.

    A reader sees the old or the new content, never a part.

    Raises:
        PrerequisiteError: it cannot be written; what was there stays.
    """
    incoming = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(incoming, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE_FILE)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        incoming.replace(path)
    except OSError as error:
        with suppress(OSError):
            incoming.unlink(missing_ok=True)
        raise PrerequisiteError(f"cannot write {path}: {error.strerror}") from None


def _missing(folder: Path) -> list[Path]:
    """Return the folders that do not exist, the outermost first."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    return missing[::-1]


def _is_open_to_others(path: Path) -> bool:
    return bool(path.stat().st_mode & _OTHERS)


def _close_to_others(path: Path) -> bool:
    with suppress(OSError):
        path.chmod(stat.S_IMODE(path.stat().st_mode) & ~_OTHERS)
    return not _is_open_to_others(path)


def _listed(paths: list[Path]) -> str:
    return str(paths[0]) if len(paths) == 1 else f"{paths[0]} and what is in it"
