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
"""The mode of folders without data of any store, such as Kafka's jars."""

PRIVATE_FILE: Final = 0o600

_OTHERS: Final = 0o077
"""The rights of all users but the owner."""


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
    """Create the data dir, or remove the rights of other users from an existing one.

    If the folder also holds files of other programs, its own mode stays as it is: then only the
    entries that the product made in it are closed to other users.

    Args:
        data_dir: folder of all state.
        report: gets a line for the person if other users had rights.

    Raises:
        PrerequisiteError: it cannot be created or written.
    """
    make_folder(data_dir)
    names = {path.name for path in data_dir.iterdir()}
    is_dedicated = names <= ENTRIES
    private = [data_dir] if is_dedicated else []
    private += [data_dir / name for name in sorted(names & ENTRIES)]
    open_paths = [path for path in private if _is_open_to_others(path)]
    still_open = [path for path in open_paths if not _close_to_others(path)]
    if open_paths and not still_open:
        report(f"others could read {_listed(open_paths)}: from now on only you can")
    elif still_open:
        report(f"others may read {_listed(still_open)}: its mode cannot be changed")
    if not is_dedicated and _is_open_to_others(data_dir):
        report(
            f"the folder {data_dir} holds other things too, so its mode stays as it is: what "
            "store-uptime keeps in it is for you alone"
        )
    return data_dir


def write_whole(path: Path, text: str) -> None:
    """Replace a file, readable by this user alone.

    A reader sees the old or the new content, never a part.

    Raises:
        PrerequisiteError: it cannot be written; its old content stays.
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
