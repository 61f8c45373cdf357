"""How much may be in hand at once: memory stays bounded, whatever comes in."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class TokenBucket:
    """How often something may happen: `at_once` times, and `per_second` in the long run.

    Args:
        per_second: how fast it fills again.
        at_once: what it holds.
        monotonic: a clock in seconds that never goes back.
    """

    def __init__(
        self,
        per_second: float,
        at_once: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_second = per_second
        self._at_once = at_once
        self._monotonic = monotonic
        self._left = at_once
        self._filled_at = monotonic()

    def try_acquire(self, amount: float = 1) -> bool:
        """Take so much, or nothing where there is less."""
        now = self._monotonic()
        self._left = min(self._at_once, self._left + (now - self._filled_at) * self._per_second)
        self._filled_at = now
        if amount > self._left:
            return False
        self._left -= amount
        return True


class MemoryBudget:
    """Bytes, or what a caller counts as such, of which no more than `limit` are in hand."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def limit(self) -> int:
        """What can be in hand at all."""
        return self._limit

    @property
    def used(self) -> int:
        """What is in hand now."""
        return self._used

    def try_acquire(self, amount: int) -> bool:
        """Take it at once, or not at all."""
        if self._used + amount > self._limit:
            return False
        self._used += amount
        return True

    async def acquire(self, amount: int, patience: float) -> bool:
        """Take it once there is room, those first who asked first; False after `patience` s."""
        if not self._waiting and self.try_acquire(amount):
            return True
        given: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        place = (amount, given)
        self._waiting.append(place)
        try:
            await asyncio.wait({given}, timeout=patience)
        except asyncio.CancelledError:
            if given.done():
                self.release(amount)
            raise
        finally:
            if not given.done():
                self._waiting.remove(place)
                self._serve()
        return given.done()

    def release(self, amount: int) -> None:
        """What was taken is no longer in hand."""
        self._used -= amount
        self._serve()

    def _serve(self) -> None:
        while self._waiting and self.try_acquire(self._waiting[0][0]):
            self._waiting.popleft()[1].set_result(None)
