"""Bounded shutdown: no client may wait longer than `SHUTDOWN_SECONDS` for an unreachable broker."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Coroutine

log = logging.getLogger(__name__)

SHUTDOWN_SECONDS: Final = 3.0
"""Seconds that a client has for its end, also while the brokers are out of reach."""


async def bounded(ending: Coroutine[Any, Any, None], what: str = "a client") -> None:
    """Wait for the end of a client for `SHUTDOWN_SECONDS`; an error of it is logged.

    An idempotent producer would wait for a lost broker for ever, and a consumer without a broker
    raises its fetcher's own `CancelledError`.
    """
    task = asyncio.create_task(ending)
    await asyncio.wait({task}, timeout=SHUTDOWN_SECONDS)
    if not task.done():
        task.cancel()
    elif not task.cancelled() and (error := task.exception()) is not None:
        log.warning("%s did not stop cleanly: %r", what, error)
