"""One line when the brokers are lost, and one when they are back."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from stream_app.contracts.topics import WATERMARKS
from stream_app.errors import BrokerUnavailableError

if TYPE_CHECKING:
    from stream_app.kafka.offsets import Highwaters

log = logging.getLogger(__name__)

ASK_EVERY_SECONDS: Final = 1.0
PATIENCE_SECONDS: Final = 3.0


class BrokerReach:
    """Asks the brokers all the while; the clients' own complaints name connections, not causes.

    Args:
        highwaters: started before this and stopped after it.
    """

    def __init__(self, highwaters: Highwaters) -> None:
        self._highwaters = highwaters
        self._lost_at: float | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to ask."""
        self._task = asyncio.create_task(self._ask_for_ever(), name="broker-reach")

    async def stop(self) -> None:
        """Stop asking."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _ask_for_ever(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            asked = clock()
            await self.ask()
            await asyncio.sleep(max(0.0, asked + ASK_EVERY_SECONDS - clock()))

    async def ask(self) -> None:
        """Ask once, and say what is new."""
        now = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._highwaters.ask([(WATERMARKS.name, 0)])
        except (BrokerUnavailableError, TimeoutError):
            if self._lost_at is None:
                self._lost_at = now
                log.warning("the Kafka broker is out of reach: what comes in waits for it")
        else:
            if self._lost_at is not None:
                log.info("the Kafka broker answers again, after %.0f s", now - self._lost_at)
                self._lost_at = None
