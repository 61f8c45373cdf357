"""Background work that is done again and again until it is stopped."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from stream_app.errors import BrokerUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)


class PeriodicTask:
    """Calls a step, waits, and calls it again; an error is logged and ends nothing.

    Args:
        name: of the task, for the log.
        seconds: pause between two steps.
        step: what is done.
    """

    def __init__(self, name: str, seconds: float, step: Callable[[], Awaitable[None]]) -> None:
        self._name = name
        self._seconds = seconds
        self._step = step
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; the first step comes after the first pause."""
        self._task = asyncio.create_task(self._run(), name=self._name)

    async def stop(self) -> None:
        """Stop, and wait until the step that runs has ended."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._seconds)
            try:
                await self._step()
            except BrokerUnavailableError as error:
                log.debug("%s cannot go on now: %s", self._name, error)
            except Exception:
                log.exception("%s failed, trying again", self._name)
