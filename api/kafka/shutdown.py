"""How parts of the API end: soon, whatever a lost broker does."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Coroutine

log = logging.getLogger(__name__)

CLOSING_SECONDS: Final = 3.0
"""A broker that is away must not keep a client from ending."""


async def bounded(ending: Coroutine[Any, Any, None], what: str = "a client") -> None:
    """Wait for an end, but not for long, and whatever comes of it.

    An idempotent producer would wait for a lost broker for ever, and a consumer without a broker
    raises its fetcher's own `CancelledError`.
    """
    task = asyncio.create_task(ending)
    await asyncio.wait({task}, timeout=CLOSING_SECONDS)
    if not task.done():
        task.cancel()
    elif not task.cancelled() and (error := task.exception()) is not None:
        log.warning("%s did not stop cleanly: %r", what, error)
