"""Ends a worker. Its state survives any end, so each step of a shutdown is limited in time."""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
from typing import Any, Final

from aiokafka.errors import ProducerFenced

from stream_app.errors import StoreUptimeError

log = logging.getLogger(__name__)

CRASH_SECONDS: Final = 5.0
"""Seconds that a worker with a fatal error has to leave the group and to close its databases."""

STOP_SECONDS: Final = 25.0
"""Seconds that a worker has to stop when it is asked to: it also commits the records in flight."""

_LIBRARIES: Final = ("aiokafka", "asyncio", "faust", "mode")
"""Libraries that log nothing more once the cause is logged: they would log its effects."""

_SILENT: Final = logging.CRITICAL + 1


class FatalErrorHandler:
    """Ends the worker with an error; it logs the first error, since further ones follow from it.

    Args:
        app: the Faust app.
    """

    def __init__(self, app: Any) -> None:
        self._app = app
        self._crashes: set[asyncio.Task[None]] = set()

    @property
    def triggered(self) -> bool:
        """Return True if the worker ends because of an error that is in the log."""
        return bool(self._crashes)

    def __call__(self, error: BaseException) -> None:
        """Log in one line what happened, and start to end the worker."""
        if not self._crashes:
            expected = isinstance(error, StoreUptimeError | ProducerFenced)
            log.error("this worker ends: %s", describe(error), exc_info=None if expected else error)
            for name in _LIBRARIES:
                logging.getLogger(name).setLevel(_SILENT)
        self._crashes.add(asyncio.get_running_loop().create_task(self._app.crash(error)))


class ExitWatchdog:
    """Ends this process if it has not ended by itself, whatever hangs.

    The watchdog of faulthandler is no Python thread: it needs no interpreter lock, which a
    native call may keep for ever, and it works while the interpreter shuts down, when no Python
    thread starts or runs any more.
    """

    def __init__(self) -> None:
        self._devnull: int | None = None

    def arm(self, seconds: float) -> None:
        """End the process after some seconds; only the first call counts.

        Tasks that die with the interpreter call this again.
        """
        if self._devnull is None:
            # otherwise the stacks of all threads would stand below the line with the reason
            self._devnull = os.open(os.devnull, os.O_WRONLY)
            faulthandler.dump_traceback_later(seconds, exit=True, file=self._devnull)


def exit_immediately() -> None:
    """End the process without any clean-up, which nothing depends on and which may hang."""
    logging.shutdown()
    os._exit(1)


def describe(error: BaseException) -> str:
    """Describe a fatal error in one line for the log."""
    if isinstance(error, ProducerFenced):
        return (
            "another worker has taken over its partitions while it was paused or cut off; "
            "that worker applies the records in flight"
        )
    if isinstance(error, StoreUptimeError):
        return str(error)
    return f"{type(error).__name__}: {error}"
