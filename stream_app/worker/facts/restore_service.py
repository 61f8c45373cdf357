"""Restores the partitions of a worker from the changelog, and follows those of other owners."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from stream_app.contracts.partitioning import partition_of
from stream_app.contracts.watermarks import RestoreStatus
from stream_app.errors import PrerequisiteError
from stream_app.worker.facts.restorer import Restorer
from stream_app.worker.facts.summary import summarize
from stream_app.worker.facts.table import CHANGELOG

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from stream_app.kafka.log_reader import LogReader
    from stream_app.worker.facts.databases import FactsDatabases
    from stream_app.worker.facts.restorer import RestoreProgress
    from stream_app.worker.facts.summary import PartitionSummary
    from stream_app.worker.metrics import WorkerMetrics

log = logging.getLogger(__name__)

_STORES_TO_CHECK: Final = 100
"""Stores of a partition that are looked at for the partition they belong to."""

_FETCHES_AT_ONCE: Final = 3
"""Partitions that may hold a fetched answer in memory at once; one holds some 8 MB at the most."""


class RestoreService:
    """The restorers of this worker, and the databases and the log that they work on.

    Args:
        databases: the local databases.
        reader: reads the changelog.
        metrics: counts what cannot be read.
        partitions: the setting, which says what partition a store belongs to.
    """

    def __init__(
        self,
        databases: FactsDatabases,
        reader: LogReader,
        metrics: WorkerMetrics,
        partitions: int,
    ) -> None:
        self._partitions = partitions
        self.databases = databases
        self.metrics = metrics
        self._reader = reader
        self._fetch_slots = asyncio.Semaphore(_FETCHES_AT_ONCE)
        self._restorers: dict[int, Restorer] = {}
        self._running: dict[int, asyncio.Task[None]] = {}
        self._started_at: dict[int, float] = {}
        self._standbys: set[int] = set()

    async def start(self) -> None:
        """Connect, and open the databases that are there."""
        await self._reader.start()
        await self.databases.start()

    async def stop(self) -> None:
        """Stop all restores and close the databases."""
        for partition in list(self._running):
            await self.stop_restore(partition)
        await self.databases.stop()
        await self._reader.stop()

    def of(self, partition: int) -> Restorer:
        """Return the restorer of a partition."""
        restorer = self._restorers.get(partition)
        if restorer is None:
            restorer = self._restorers[partition] = Restorer(
                self.databases.of(partition),
                CHANGELOG,
                self._reader,
                self._fetch_slots,
                lambda: self.metrics.records_unread(CHANGELOG),
            )
        return restorer

    async def restore(self, partition: int, end: int) -> None:
        """Restore a partition; cancelling this leaves the restore running.

        Raises:
            TableError: the database fails, or the restore stands still.
        """
        await self.stop_restore(partition)
        await asyncio.shield(self._start(partition, self.of(partition).restore(end)))

    async def follow(self, partition: int) -> None:
        """Keep a copy of a partition up to date, beside its owner's."""
        if partition in self.running & self._standbys:
            return
        # a restore that goes on would end at its claim
        await self.stop_restore(partition)
        self._standbys.add(partition)
        task = self._start(partition, self.of(partition).follow())
        task.add_done_callback(partial(_log_end_of_standby, partition))

    async def stop_restore(self, partition: int) -> None:
        """Stop what reads a partition's changelog; its database stays at its checkpoint."""
        self._standbys.discard(partition)
        task = self._running.pop(partition, None)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def summarize(self, partition: int) -> PartitionSummary:
        """Summarize the stores of a restored partition.

        Raises:
            PrerequisiteError: its stores belong to other partitions now.
            TableError: the database cannot be read to its end.
        """
        summary = await summarize(self.databases.of(partition))
        for store in islice(summary.stores, _STORES_TO_CHECK):
            right = partition_of(str(UUID(bytes=store)).encode(), self._partitions)
            if right != partition:
                raise PrerequisiteError(
                    f"partition {partition} holds facts of stores that belong to partition {right} "
                    f"with STORE_UPTIME_PARTITIONS={self._partitions}: set it back to what it was "
                    "when the topics were made"
                )
        return summary

    def status(self, partition: int) -> RestoreStatus:
        """Return the progress of the restore of a partition, as it is published."""
        progress = self.of(partition).progress
        if progress is None or partition not in self.running:
            return RestoreStatus(partition, 0, 0)
        seconds = asyncio.get_running_loop().time() - self._started_at[partition]
        left = round(seconds * progress.to_do / progress.done) if progress.done else None
        return RestoreStatus(partition, progress.done, progress.to_do, left)

    def progress(self) -> dict[int, RestoreProgress]:
        """Return the progress of every partition whose changelog is being read now."""
        return {
            partition: progress
            for partition in self.running
            if (progress := self._restorers[partition].progress) is not None
        }

    @property
    def running(self) -> set[int]:
        """Return the partitions whose changelog is read now."""
        return {partition for partition, task in self._running.items() if not task.done()}

    def _start(self, partition: int, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        self._started_at[partition] = asyncio.get_running_loop().time()
        task = asyncio.create_task(work, name=f"restore-{partition}")
        # if nothing waits for it any more, asyncio does not complain about an unread error
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._running[partition] = task
        return task


def _log_end_of_standby(partition: int, task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("the standby of partition %d ends: %s", partition, error)
