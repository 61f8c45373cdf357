"""From an assignment to owned partitions: claim, let Faust recover, check, rewind, take."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

from faust.types import TP

from stream_app.contracts.topics import REPORT_REQUESTS
from stream_app.errors import TableError
from stream_app.kafka.offsets import resume_offsets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from stream_app.agents.committable import Committable
    from stream_app.agents.ownership import Ownership
    from stream_app.settings import Settings
    from stream_app.tables import FactsTable

log = logging.getLogger(__name__)

MOST_TRIES: Final = 20
"""Recoveries of an assignment that may end early before the worker gives up."""

STUCK_SECONDS: Final = 30.0
"""A recovery that does not move for so long never ends."""

_PAUSE_SECONDS: Final = 0.2
_WATCH_SECONDS: Final = 1.0


class Takeover:
    """Takes partitions over, whenever Faust was assigned some.

    Args:
        app: the Faust app.
        settings: how to reach the broker.
        facts: the table.
        ownership: told what is ours.
        committable: forgets what was in hand before.
        fail: called with an error after which this worker must not go on.
    """

    def __init__(
        self,
        app: Any,
        settings: Settings,
        facts: FactsTable,
        ownership: Ownership,
        committable: Committable,
        fail: Callable[[BaseException], None],
    ) -> None:
        self._app = app
        self._settings = settings
        self._facts = facts
        self._ownership = ownership
        self._committable = committable
        self._fail = fail
        self._tries = 0
        self._watching: asyncio.Task[None] | None = None

    async def assigned(self, assigned: Iterable[TP]) -> None:
        """Claim partitions before they are recovered: the recovery then reads all there is."""
        self._committable.reset()
        self._tries = 0
        if self._watching is not None:
            self._watching.cancel()
        partitions = partitions_of(assigned)
        log.info("assigned partitions %s", ", ".join(map(str, sorted(partitions))) or "none")
        try:
            await self._facts.claim(partitions)
        except Exception as error:  # noqa: BLE001  the worker ends with it
            self._fail(error)
        else:
            self._watching = asyncio.create_task(self._watch(partitions), name="recovery-watch")

    async def recovered(self) -> None:
        """Take what Faust has recovered; called before any source record is handed out."""
        # Faust swallows what a recovery callback raises
        try:
            await self._take()
        except Exception as error:  # noqa: BLE001  the worker ends with it
            self._fail(error)

    async def _watch(self, partitions: set[int]) -> None:
        """End the worker when its recovery stands still.

        Faust logs an error in it, a full disk for one, and waits for what it cannot write.
        """
        try:
            await self._until_recovered(partitions)
        except Exception as error:  # noqa: BLE001  the worker ends with it
            self._fail(error)

    async def _until_recovered(self, partitions: set[int]) -> None:
        clock = asyncio.get_running_loop().time
        seen, moved = None, clock()
        while behind := self._facts.behind(partitions):
            if behind != seen:
                seen, moved = behind, clock()
            elif clock() - moved > STUCK_SECONDS:
                raise TableError(f"the recovery stands still: {_furthest_behind(behind)}")
            await asyncio.sleep(_WATCH_SECONDS)

    async def _take(self) -> None:
        partitions = partitions_of(self._app.consumer.assignment())
        generation = self._ownership.generation
        behind = self._facts.behind(partitions)
        if behind:
            await self._recover_again(behind)
            return
        offsets = await resume_offsets(self._settings, partitions)
        if generation != self._ownership.generation:
            # a rebalance began meanwhile: what it assigns is recovered next
            return
        await rewind(self._app.consumer, offsets)
        await self._ownership.take(partitions, offsets)

    async def _recover_again(self, behind: Mapping[TP, tuple[int | None, int]]) -> None:
        """Faust says that it is complete when a rebalance cut it off, or when it gave up.

        Raises:
            TableError: it does not come to an end, however often it begins.
        """
        told = _furthest_behind(behind)
        self._tries += 1
        if self._tries > MOST_TRIES:
            raise TableError(f"the recovery does not come to its end: {told}")
        log.info("the recovery goes on: %s", told)
        recovery = self._app.tables.recovery
        for changelog_partition, (offset, _) in behind.items():
            # what Faust believes to have read may be ahead of what the database holds
            recovery.active_offsets[changelog_partition] = offset
        await asyncio.sleep(_PAUSE_SECONDS)
        recovery.signal_recovery_start.set()


def _furthest_behind(behind: Mapping[TP, tuple[int | None, int]]) -> str:
    partition, (persisted, claim) = max(
        behind.items(), key=lambda item: item[1][1] - (item[1][0] or 0)
    )
    return f"partition {partition.partition} is at changelog offset {persisted} of {claim}"


def partitions_of(assigned: Iterable[TP]) -> set[int]:
    """The partition numbers of an assignment: all source topics share them."""
    return {tp.partition for tp in assigned if tp.topic == REPORT_REQUESTS.name}


async def rewind(consumer: Any, offsets: Mapping[tuple[str, int], int]) -> None:
    """Read on from these offsets, whatever has been fetched before.

    After a rebalance Faust throws away what it has fetched and goes back to what is committed;
    where nothing is committed yet it stays where it is, and what was thrown away is lost.
    """
    for (topic, partition), offset in offsets.items():
        await consumer.seek(TP(topic, partition), offset)
