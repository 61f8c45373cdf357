"""The age of the data that this process shows, and the part that delays it.

Every second the brokers are asked how far the source topics reach. What was acknowledged by then is
shown once the watermarks of all owners have come so far.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from stream_app.domain.timestamps import SECOND, format_instant
from stream_app.errors import BrokerUnavailableError
from stream_app.kafka.connectivity import LOST
from stream_app.periodic import PeriodicTask

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiokafka import TopicPartition

log = logging.getLogger(__name__)

ASK_EVERY_SECONDS: Final = 1.0

PATIENCE_SECONDS: Final = 3.0
"""Seconds after which brokers that do not answer are out of reach."""

DELAYED_AFTER_SECONDS: Final = 5.0
"""Data that is older than this is delayed; a rebalance or a busy moment takes less."""

MAX_SAMPLES: Final = 600
"""Samples that wait for the workers; beyond them the age is a little too high."""

Part = Literal["broker", "workers"]


@dataclass(frozen=True, slots=True)
class Freshness:
    """The age of the data at an instant.

    Attributes:
        at: µs, that instant on the clock of this process.
        as_of: µs; all that was acknowledged by then is shown. None: not known yet.
        part: what keeps the data from being newer; None: it is live.
        reason: why, in one line, where there is more to say.
    """

    at: int
    as_of: int | None
    part: Part | None = None
    reason: str | None = None

    def content(self) -> dict[str, Any]:
        """As answers have it."""
        return {
            "at": format_instant(self.at),
            "as_of": None if self.as_of is None else format_instant(self.as_of),
            "delayed": self.part is not None,
            "part": self.part,
            "reason": self.reason,
        }


class Applied(Protocol):
    """The offsets that the workers have applied: `AppliedOffsets`."""

    async def source_end_offsets(self) -> dict[TopicPartition, int]:
        """Return the end offsets of the source topics."""

    def has_applied(self, end_offsets: Mapping[TopicPartition, int]) -> bool:
        """Return whether all records below these offsets are applied."""

    def why_unowned(self) -> str | None:
        """Say which partitions have no owner; None: all have one."""


class DataAge:
    """Asks how old the data is, all the while.

    Args:
        progress: started before this and stopped after it.
        clock: the wall clock in µs.
    """

    def __init__(self, progress: Applied, clock: Callable[[], int]) -> None:
        self._progress = progress
        self._clock = clock
        self._samples: deque[tuple[int, Mapping[TopicPartition, int]]] = deque()
        self._as_of: int | None = None
        self._since: int | None = None
        self._reachable = True
        self._task = PeriodicTask("data-age", ASK_EVERY_SECONDS, self.ask, pause_first=False)

    async def start(self) -> None:
        """Start to ask."""
        self._since = self._clock()
        self._task.start()

    async def stop(self) -> None:
        """Stop asking."""
        await self._task.stop()

    def now(self) -> Freshness:
        """Return the age of the data now."""
        at = self._clock()
        since = self._as_of if self._as_of is not None else self._since
        if not self._reachable:
            return Freshness(at, self._as_of, "broker", LOST)
        if since is None or at - since <= DELAYED_AFTER_SECONDS * SECOND:
            return Freshness(at, self._as_of)
        reason = self._progress.why_unowned() or "the workers are still applying what came in"
        return Freshness(at, self._as_of, "workers", reason)

    async def ask(self) -> None:
        """Ask once."""
        asked_at = self._clock()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                end_offsets = await self._progress.source_end_offsets()
        except (BrokerUnavailableError, TimeoutError):
            self._reachable = False
        else:
            self._reachable = True
            if len(self._samples) < MAX_SAMPLES:
                self._samples.append((asked_at, end_offsets))
        if self._progress.why_unowned() is not None:
            # nobody would apply what comes in now, though nothing may be missing yet
            return
        while self._samples and self._progress.has_applied(self._samples[0][1]):
            self._as_of, _ = self._samples.popleft()
