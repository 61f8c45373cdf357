"""Pings sent at their pace, with back-pressure: the core of `simulate`, and of load in tests."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

from stream_app.domain.timestamps import SECOND

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from producers.simulator.delivery_stats import Tally
    from producers.simulator.model import Ping

MAX_BATCH: Final = 500
"""Pings that are handed over at once."""

TICK_SECONDS: Final = 0.02
"""Pings that become due within a tick go together."""


LAST_CALL: Final = SECOND
"""What is due before the end may go out so much (µs) after it."""


class PingSink(Protocol):
    """Where pings go."""

    async def send(self, pings: Sequence[Ping], tally: Tally) -> None:
        """Take pings over, once there is room; the tally is told of each, and what becomes of it.

        Raises:
            StoreUptimeError: there is no use in sending more.
        """

    async def drain(self) -> None:
        """Wait until all that was taken over is answered, or for as long as makes sense.

        Raises:
            StoreUptimeError: something sent was refused for good.
        """


class Pinger:
    """Sends what is due, and no faster than the sink takes it: nothing piles up.

    Pings that find no room are sent later; `tally.behind` tells by how much.

    Args:
        pings: in the order in which they are due.
        sink: where they go.
        tally: is told of everything.
        clock: the wall clock, µs.
    """

    def __init__(
        self, pings: Iterator[Ping], sink: PingSink, tally: Tally, clock: Callable[[], int]
    ) -> None:
        self._pings = pings
        self._sink = sink
        self._tally = tally
        self._clock = clock
        self._next = next(pings, None)

    async def run(self, until: int | None = None) -> None:
        """Send what is due before `until` (µs; None: for ever), then wait for the answers.

        What there was no room for by then is not sent. Cancelled, it waits for answers as well.

        Raises:
            StoreUptimeError: as the sink.
        """
        try:
            await self._send(until)
        finally:
            await self._sink.drain()

    async def _send(self, until: int | None) -> None:
        while (ping := self._next) is not None and (until is None or ping.due < until):
            now = self._clock()
            if until is not None and now >= until + LAST_CALL:
                return
            if ping.due > now:
                self._tally.behind = 0.0
                await asyncio.sleep(max(TICK_SECONDS, min((ping.due - now) / SECOND, 1.0)))
                continue
            self._tally.behind = (now - ping.due) / SECOND
            batch = self._due(now if until is None else min(now, until - 1))
            await self._sink.send(batch, self._tally)
            # a sink that always has room would keep the answers from being heard
            await asyncio.sleep(0)

    def _due(self, latest: int) -> list[Ping]:
        batch: list[Ping] = []
        while self._next is not None and self._next.due <= latest and len(batch) < MAX_BATCH:
            batch.append(self._next)
            self._next = next(self._pings, None)
        return batch
