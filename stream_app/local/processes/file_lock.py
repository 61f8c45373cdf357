"""A lock on a folder that the kernel releases when its holder dies.

It does not use the package filelock: that creates the file only to check whether the lock is held.
Where `flock` does not work, it uses a file that stays when its holder dies.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from stream_app.errors import PrerequisiteError
from stream_app.local.processes.files import PRIVATE_FILE, make_folder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


@asynccontextmanager
async def locked(path: Path, *, limit: float, busy: str) -> AsyncIterator[None]:
    """Hold the lock on the file `path` during the block; the file is created and never removed.

    Args:
        path: the lock file.
        limit: seconds to wait for another holder.
        busy: the error line if the lock does not become free in time.

    Raises:
        PrerequisiteError: another process holds it, or the folder cannot be written.
    """
    with _opened(path) as descriptor:
        deadline = asyncio.get_running_loop().time() + limit
        while not _try_lock(descriptor):
            if asyncio.get_running_loop().time() >= deadline:
                raise PrerequisiteError(busy)
            await asyncio.sleep(0.05)
        yield


@contextmanager
def locked_at_once(path: Path, *, busy: str) -> Iterator[None]:
    """Hold the lock as `locked` does, without waiting for another holder.

    Raises:
        PrerequisiteError: another process holds it, or the folder cannot be written.
    """
    with _opened(path) as descriptor:
        if not _try_lock(descriptor):
            raise PrerequisiteError(busy)
        yield


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    make_folder(path.parent)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
    except OSError as error:
        raise PrerequisiteError(f"cannot write {path}: {error.strerror}") from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def is_locked(path: Path) -> bool:
    """Check whether some process holds this lock right now."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not _try_lock(descriptor)
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
