"""Logs one line when the brokers are lost, with the reason, and one when they are back."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from stream_app.errors import BrokerUnavailableError
from stream_app.kafka.clients import connection
from stream_app.kafka.diagnosis import why_unusable
from stream_app.periodic import PeriodicTask

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from stream_app.settings import Settings

log = logging.getLogger(__name__)

ASK_EVERY_SECONDS: Final = 1.0
"""Pause between an answer and the next question, in seconds."""

PATIENCE_SECONDS: Final = 3.0
"""Seconds after which a broker that does not answer is out of reach."""

DIAGNOSE_EVERY_SECONDS: Final = 10.0
"""Seconds between two diagnoses while the brokers are out of reach: the reason may change."""

LOST: Final = "the Kafka broker is out of reach"


class BrokerMonitor:
    """Asks the brokers something every second, and says when no answer comes.

    The log lines of the Kafka clients name connections that failed, and not why they did.

    Args:
        settings: how to reach the brokers.
        ask: asks the brokers once; raises `BrokerUnavailableError` where they do not answer, and
            is cancelled after `PATIENCE_SECONDS`.
    """

    def __init__(self, settings: Settings, ask: Callable[[], Awaitable[object]]) -> None:
        self._settings = settings
        self._ask = ask
        self._lost_at: float | None = None
        self._diagnosed_at = float("-inf")
        self._cause: str | None = None
        self._task = PeriodicTask(
            "broker-monitor", ASK_EVERY_SECONDS, self.check, pause_first=False
        )

    @property
    def trouble(self) -> str | None:
        """Return why the brokers cannot be used now, in one line; None if they answered last."""
        if self._lost_at is None:
            return None
        return self._cause or LOST

    async def start(self) -> None:
        """Start to ask the brokers."""
        self._task.start()

    async def stop(self) -> None:
        """Stop asking the brokers."""
        await self._task.stop()

    async def check(self) -> None:
        """Ask the brokers once, and log whether they are lost or back since the last call."""
        now = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._ask()
        except (BrokerUnavailableError, TimeoutError):
            if self._lost_at is None:
                self._lost_at = now
                self._diagnosed_at = float("-inf")
                log.warning("%s: what comes in waits for it", LOST)
            await self._diagnose(now)
        else:
            if self._lost_at is not None:
                log.info("the Kafka broker answers again, after %.0f s", now - self._lost_at)
                self._lost_at = self._cause = None

    async def _diagnose(self, now: float) -> None:
        if now - self._diagnosed_at < DIAGNOSE_EVERY_SECONDS:
            return
        self._diagnosed_at = now
        reason = await why_unusable(self._settings, connection(self._settings))
        # the log has just said that no broker answers
        cause = None if reason is None or reason.unreachable else reason.text
        if cause is not None and cause != self._cause:
            log.error("%s", cause)
        self._cause = cause
