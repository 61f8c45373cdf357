"""One line when the brokers are lost, with the reason, and one when they are back."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from aiokafka import TopicPartition

from stream_app.contracts.topics import WATERMARKS
from stream_app.errors import BrokerUnavailableError
from stream_app.kafka.clients import connection
from stream_app.kafka.diagnosis import why_unusable
from stream_app.periodic import PeriodicTask

if TYPE_CHECKING:
    from stream_app.kafka.offsets import EndOffsetFetcher
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
    """Asks the brokers all the while; the clients' own complaints name connections, not causes.

    Args:
        settings: how to reach the brokers.
        end_offset_fetcher: started before this and stopped after it.
    """

    def __init__(self, settings: Settings, end_offset_fetcher: EndOffsetFetcher) -> None:
        self._settings = settings
        self._end_offset_fetcher = end_offset_fetcher
        self._lost_at: float | None = None
        self._diagnosed_at = float("-inf")
        self._cause: str | None = None
        self._task = PeriodicTask(
            "broker-monitor", ASK_EVERY_SECONDS, self.check, pause_first=False
        )

    @property
    def trouble(self) -> str | None:
        """Why the brokers cannot be used now, in one line; None: they answered last."""
        if self._lost_at is None:
            return None
        return self._cause or LOST

    async def start(self) -> None:
        """Start to ask."""
        self._task.start()

    async def stop(self) -> None:
        """Stop asking."""
        await self._task.stop()

    async def check(self) -> None:
        """Ask once, and say what is new."""
        now = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._end_offset_fetcher.fetch([TopicPartition(WATERMARKS.name, 0)])
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
        # that nobody is there has just been said
        cause = None if reason is None or reason.nobody else reason.text
        if cause is not None and cause != self._cause:
            log.error("%s", cause)
        self._cause = cause
