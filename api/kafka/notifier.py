"""In-process notifications by key: wakes tasks that wait for a report to change."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Notifier:
    """Wakes the tasks that have subscribed to a key."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Event]] = {}

    def notify(self, key: str) -> None:
        """Wake all tasks that have subscribed to a key."""
        for changed in self._waiting.get(key, ()):
            changed.set()

    @contextmanager
    def subscribe(self, key: str) -> Iterator[asyncio.Event]:
        """Yield an event that every change of a key sets from now on, until the block ends."""
        changed = asyncio.Event()
        waiting = self._waiting.setdefault(key, set())
        waiting.add(changed)
        try:
            yield changed
        finally:
            waiting.discard(changed)
            if not waiting:
                self._waiting.pop(key, None)
