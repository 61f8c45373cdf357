"""The local databases of one worker, a folder each."""

from __future__ import annotations

import logging
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from stream_app.errors import TableError
from stream_app.worker.facts.database import FactsDatabase

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from stream_app.worker.metrics import RemovalReason

log = logging.getLogger(__name__)

_FOLDER: Final = "facts"
_EARLIER_DATABASES: Final = "v1/tables/*.db"
"""The tables that earlier versions of this product had in Faust's folder."""


class FactsDatabases:
    """Opens each partition's database once.

    Args:
        folder: the folder of the worker.
        on_removed: called with the reason when a database is removed.
    """

    def __init__(self, folder: Path, on_removed: Callable[[RemovalReason], None]) -> None:
        self._folder = folder / _FOLDER
        self._worker_folder = folder
        self._on_removed = on_removed
        self._databases: dict[int, FactsDatabase] = {}

    async def start(self) -> None:
        """Open the databases on disk, to know their checkpoints."""
        for folder in self._worker_folder.glob(_EARLIER_DATABASES):
            log.info("%s is of an earlier version: it is removed, and read back once", folder)
            shutil.rmtree(folder, ignore_errors=True)
        if not self._folder.exists():
            return
        for folder in sorted(self._folder.iterdir()):
            if folder.name.isdigit():
                # the group's leader assigns partitions by these checkpoints
                with suppress(TableError):
                    _ = self.of(int(folder.name)).checkpoint

    async def stop(self) -> None:
        """Close all."""
        for database in self._databases.values():
            database.close()

    def of(self, partition: int) -> FactsDatabase:
        """Return the database of a partition; an empty one where there is none yet."""
        database = self._databases.get(partition)
        if database is None:
            database = FactsDatabase(partition, self._folder / str(partition), self._on_removed)
            self._databases[partition] = database
        return database

    def offsets(self) -> dict[int, int]:
        """Return the changelog offset that each database has reached, without empty ones.

        It may be called from any thread.
        """
        return {
            partition: database.reached
            for partition, database in list(self._databases.items())
            if database.reached > 0
        }
