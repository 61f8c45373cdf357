"""How a worker ends: state survives any end, so nothing is worth hanging for."""

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
"""A worker that failed leaves the group and its databases in order if it can do so by then."""

STOP_SECONDS: Final = 25.0
"""One that is asked to stop has longer, to commit what is in hand."""


_LIBRARIES: Final = ("aiokafka", "asyncio", "faust", "mode")
"""Once the cause is told, their pages about torn connections and tasks tell nothing more."""

_SILENT: Final = logging.CRITICAL + 1


class FatalErrorHandler:
    """Ends the worker with an error; the first one is told, further ones follow from it.

    Args:
        app: the Faust app.
    """

    def __init__(self, app: Any) -> None:
        self._app = app
        self._crashes: set[asyncio.Task[None]] = set()

    @property
    def triggered(self) -> bool:
        """Whether the worker ends because of an error that was told."""
        return bool(self._crashes)

    def __call__(self, error: BaseException) -> None:
        """Say in one line what happened, and begin to end."""
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
        self._unread: int | None = None

    def arm(self, seconds: float) -> None:
        """Begin to count, the first time; tasks that die with the interpreter come here again."""
        if self._unread is None:
            # it would print where every thread is, below the line that says why
            self._unread = os.open(os.devnull, os.O_WRONLY)
            faulthandler.dump_traceback_later(seconds, exit=True, file=self._unread)


def exit_immediately() -> None:
    """End without any clean-up, which has nothing to do that matters and may hang."""
    logging.shutdown()
    os._exit(1)


def describe(error: BaseException) -> str:
    """One line that says what happened, for whoever reads the log."""
    if isinstance(error, ProducerFenced):
        return (
            "another worker has taken over its partitions while it was paused or cut off; "
            "what it had in hand is applied there"
        )
    if isinstance(error, StoreUptimeError):
        return str(error)
    return f"{type(error).__name__}: {error}"
