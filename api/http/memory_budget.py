"""Limits on memory and on rates, which hold whatever clients send."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class TokenBucket:
    """Limits how often something happens: `at_once` times, and `per_second` in the long run.

    Args:
        per_second: the amount that comes back each second.
        at_once: the largest amount that it holds.
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
        self._available = at_once
        self._filled_at = monotonic()

    def try_acquire(self, amount: float = 1) -> bool:
        """Remove an amount from the bucket; if it holds less, remove nothing and return False."""
        now = self._monotonic()
        self._available = min(
            self._at_once, self._available + (now - self._filled_at) * self._per_second
        )
        self._filled_at = now
        if amount > self._available:
            return False
        self._available -= amount
        return True


class MemoryBudget:
    """A budget of bytes that callers share."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def limit(self) -> int:
        """Return the size of the budget."""
        return self._limit

    @property
    def used(self) -> int:
        """Return the part of it that is acquired now."""
        return self._used

    def try_acquire(self, amount: int) -> bool:
        """Acquire an amount at once; False if there is no room."""
        if self._used + amount > self._limit:
            return False
        self._used += amount
        return True

    async def acquire(self, amount: int, patience: float) -> bool:
        """Acquire an amount once there is room, in the order of calls; False if there is none."""
        if not self._waiting and self.try_acquire(amount):
            return True
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiter = (amount, granted)
        self._waiting.append(waiter)
        try:
            await asyncio.wait({granted}, timeout=patience)
        except asyncio.CancelledError:
            if granted.done():
                self.release(amount)
            raise
        finally:
            if not granted.done():
                self._waiting.remove(waiter)
                self._serve()
        return granted.done()

    def release(self, amount: int) -> None:
        """Return an amount to the budget."""
        self._used -= amount
        self._serve()

    def _serve(self) -> None:
        while self._waiting and self.try_acquire(self._waiting[0][0]):
            self._waiting.popleft()[1].set_result(None)
