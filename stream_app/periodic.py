"""Background work that is repeated until it is stopped."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

from stream_app.errors import BrokerUnavailableError, FatalError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from stream_app.errors import OnFatalError

log = logging.getLogger(__name__)

CANCEL_SECONDS: Final = 0.2
"""The seconds after which a cancelled task that still runs is cancelled again."""


class PeriodicTask:
    """Calls a step, pauses, and calls it again until it is stopped.

    An error of a step does not end the task. It is logged when the first step fails with an
    error of its class, and one more line says that a step works again. `BrokerUnavailableError`
    is not logged: `kafka/connectivity.py` says once that the brokers are lost.

    Args:
        name: names the task in the log.
        seconds: pause between the end of a step and the beginning of the next one.
        step: does the work once.
        pause_first: False calls the first step at once.
        retry_seconds: pause after a step that failed; None for the pause after any other step.
        on_error: called with a `FatalError` of a step, which also ends the task; None if such an
            error is handled like any other.
    """

    def __init__(
        self,
        name: str,
        seconds: float,
        step: Callable[[], Awaitable[None]],
        *,
        pause_first: bool = True,
        retry_seconds: float | None = None,
        on_error: OnFatalError | None = None,
    ) -> None:
        self._name = name
        self._seconds = seconds
        self._step = step
        self._first_pause = seconds if pause_first else 0.0
        self._retry_seconds = seconds if retry_seconds is None else retry_seconds
        self._on_error = on_error
        self._failing: set[type[Exception]] = set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the task, which runs beside the caller."""
        self._task = asyncio.create_task(self._run(), name=self._name)

    async def stop(self) -> None:
        """Stop the task and wait for its end; a step that runs is cancelled."""
        task, self._task = self._task, None
        if task is not None:
            await cancel_tasks({task})

    async def _run(self) -> None:
        pause = self._first_pause
        while True:
            await asyncio.sleep(pause)
            pause = self._seconds
            try:
                await self._step()
            except Exception as error:  # noqa: BLE001  whatever it is, the next step may succeed
                if isinstance(error, FatalError) and self._on_error is not None:
                    self._on_error(error)
                    return
                self._log_failure(error)
                pause = self._retry_seconds
            else:
                self._log_recovery()

    def _log_failure(self, error: Exception) -> None:
        if isinstance(error, BrokerUnavailableError):
            log.debug("%s cannot go on now: %s", self._name, error)
        elif type(error) in self._failing:
            log.debug("%s failed again: %r", self._name, error)
        else:
            self._failing.add(type(error))
            log.error("%s failed, trying again", self._name, exc_info=error)

    def _log_recovery(self) -> None:
        if self._failing:
            self._failing.clear()
            log.info("%s works again", self._name)


async def cancel_tasks(tasks: set[asyncio.Task[Any]]) -> None:
    """Cancel tasks, again and again until each of them has ended.

    Once is not enough: `wait_for`, and aiokafka's clients with it, lose a cancellation that comes
    at the moment when what they wait for ends.
    """
    while running := {task for task in tasks if not task.done()}:
        for task in running:
            task.cancel()
        await asyncio.wait(running, timeout=CANCEL_SECONDS)
