"""Moves on over offsets that no record has.

A report waits until the next offset to apply has reached the highwater. A transaction marker, or
a record that compaction removed, is below the highwater and never handed out: who waits for
it would wait until the deadline. So a partition that stays behind while it is idle is looked at.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from stream_app.errors import BrokerUnavailableError
from stream_app.kafka.holes import empty_ranges

if TYPE_CHECKING:
    from stream_app.agents.ownership import Ownership
    from stream_app.kafka.offsets import Highwaters
    from stream_app.settings import Settings

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 0.5
"""A partition that is behind and did not move for so long is looked at."""


class Holes:
    """Watches the owned partitions.

    Args:
        settings: how to reach the broker.
        ownership: knows how far each partition is, and is told where it goes on.
        highwaters: asked how far the source topics reach.
    """

    def __init__(self, settings: Settings, ownership: Ownership, highwaters: Highwaters) -> None:
        self._settings = settings
        self._ownership = ownership
        self._highwaters = highwaters
        self._seen: dict[tuple[str, int], int] = {}
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to watch."""
        self._task = asyncio.create_task(self._watch(), name="holes")

    async def stop(self) -> None:
        """Stop watching."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.look()
            except BrokerUnavailableError as error:
                log.debug("cannot look for holes now: %s", error)
            except Exception:
                log.exception("cannot look for holes, trying again")

    async def look(self) -> None:
        """Move every partition over a hole that it has stood before since the last look.

        Raises:
            BrokerUnavailableError: no broker answers.
        """
        idle = self._ownership.idle_offsets()
        resting = {p: offset for p, offset in idle.items() if self._seen.get(p) == offset}
        self._seen = idle
        if not resting:
            return
        ends = await self._highwaters.ask(resting)
        behind = {p: (offset, ends[p]) for p, offset in resting.items() if offset < ends[p]}
        if not behind:
            return
        for partition in await empty_ranges(self._settings, behind):
            self._ownership.skip(*partition, *behind[partition])
