"""The age of the data that this process shows, and the part that delays it.

A sample is the end offsets of the source topics at an instant. What was acknowledged by then is
shown once the watermarks of all owners have reached these offsets.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from stream_app.domain.timestamps import SECOND, format_instant
from stream_app.errors import BrokerUnavailableError
from stream_app.kafka.connectivity import LOST

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiokafka import TopicPartition

DELAYED_AFTER_SECONDS: Final = 5.0
"""Age in seconds beyond which data counts as delayed; a rebalance takes less."""

MAX_SAMPLES: Final = 600
"""Samples that are kept until the workers have applied them: the data of ten minutes."""

Part = Literal["broker", "workers"]


@dataclass(frozen=True, slots=True)
class Freshness:
    """The age of the data at an instant.

    Attributes:
        at: that instant on the clock of this process, µs.
        as_of: the instant by which everything that was acknowledged is shown, µs; None if it is not
            known yet.
        part: the part of the system that delays the data; None if the data is live.
        reason: why the part delays it, in one line; None if the data is live.
    """

    at: int
    as_of: int | None
    part: Part | None = None
    reason: str | None = None

    def content(self) -> dict[str, Any]:
        """Return the JSON of the age, as answers have it."""
        return {
            "at": format_instant(self.at),
            "as_of": None if self.as_of is None else format_instant(self.as_of),
            "delayed": self.part is not None,
            "part": self.part,
            "reason": self.reason,
        }


class Applied(Protocol):
    """The offsets that the workers have applied; `AppliedOffsets` is one."""

    async def source_end_offsets(self) -> dict[TopicPartition, int]:
        """Return the end offsets of the source topics."""

    def has_applied(self, end_offsets: Mapping[TopicPartition, int]) -> bool:
        """Return whether all records below these offsets are applied."""

    def why_unowned(self) -> str | None:
        """Say which partitions have no owner; None if all have one."""


class DataAge:
    """Measures how old the data is, from one sample each second.

    Args:
        applied_offsets: reads the end offsets, and knows what the workers have applied.
        clock: the wall clock in µs.
    """

    def __init__(self, applied_offsets: Applied, clock: Callable[[], int]) -> None:
        self._applied_offsets = applied_offsets
        self._clock = clock
        self._samples: deque[tuple[int, Mapping[TopicPartition, int]]] = deque()
        self._as_of: int | None = None
        self._first_sample_at: int | None = None
        self._reachable = True

    def now(self) -> Freshness:
        """Return the age of the data now."""
        at = self._clock()
        since = self._as_of if self._as_of is not None else self._first_sample_at
        if not self._reachable:
            return Freshness(at, self._as_of, "broker", LOST)
        if since is None or at - since <= DELAYED_AFTER_SECONDS * SECOND:
            return Freshness(at, self._as_of)
        reason = (
            self._applied_offsets.why_unowned() or "the workers are still applying what came in"
        )
        return Freshness(at, self._as_of, "workers", reason)

    async def sample(self) -> None:
        """Take one sample; `BrokerMonitor` calls this every second to see that a broker answers.

        Raises:
            BrokerUnavailableError: no broker answers.
        """
        sampled_at = self._clock()
        try:
            end_offsets = await self._applied_offsets.source_end_offsets()
        except (BrokerUnavailableError, asyncio.CancelledError):
            # the monitor cancels a question that is not answered in time
            self._reachable = False
            raise
        else:
            self._reachable = True
            if self._first_sample_at is None:
                self._first_sample_at = sampled_at
            if len(self._samples) < MAX_SAMPLES:
                self._samples.append((sampled_at, end_offsets))
        finally:
            self._drop_applied_samples()

    def _drop_applied_samples(self) -> None:
        if self._applied_offsets.why_unowned() is not None:
            # without an owner new records are not applied, though none may be missing yet
            return
        while self._samples and self._applied_offsets.has_applied(self._samples[0][1]):
            self._as_of, _ = self._samples.popleft()
