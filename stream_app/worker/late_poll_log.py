"""Logs one line a minute about polls that come when their store has much newer ones."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

log = logging.getLogger(__name__)

EVERY_SECONDS: Final = 60.0
"""Seconds between two lines."""


class LatePollLog:
    """Counts late polls between two lines: a file of old polls may bring thousands of records.

    Args:
        monotonic: a clock in seconds that never goes back.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._next_line = float("-inf")
        self._records = 0
        self._polls = 0

    def warn(self, late: Sequence[tuple[Any, str, int]]) -> None:
        """Count late records, each with its reason and number of polls; at least one."""
        self._records += len(late)
        self._polls += sum(count for _, _, count in late)
        now = self._monotonic()
        if now < self._next_line:
            return
        record, reason, _ = late[-1]
        log.warning(
            "%d late polls of %d records are rejected and kept as dead letters; the last: "
            "%s/%s/%s: %s",
            self._polls,
            self._records,
            record.topic,
            record.partition,
            record.offset,
            reason[:300],
        )
        self._next_line = now + EVERY_SECONDS
        self._records = self._polls = 0
