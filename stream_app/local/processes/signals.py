"""Runs a coroutine until a signal asks this process to stop."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Coroutine

STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The signals of Ctrl-C, of a service manager, and of a terminal that is closed."""


async def run_until_signalled(work: Coroutine[Any, Any, None]) -> bool:
    """Run `work`; the first stop signal cancels it, and later ones do not interrupt its clean-up.

    Returns:
        True if a signal ended the work, after its clean-up; False if it ended by itself.
        Exceptions of the work are raised.
    """
    loop = asyncio.get_running_loop()
    task = loop.create_task(work)
    signalled = False

    def stop() -> None:
        nonlocal signalled
        if not signalled:
            signalled = True
            task.cancel()

    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop)
    try:
        await task
    except asyncio.CancelledError:
        if not signalled:
            raise
    finally:
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)
    return signalled
