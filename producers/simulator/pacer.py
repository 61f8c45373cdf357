"""Sends pings when they are due, with back-pressure: for `simulate` and for load in tests."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

from stream_app.domain.timestamps import SECOND

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from producers.simulator.delivery_stats import DeliveryStats
    from producers.simulator.model import Ping

MAX_BATCH: Final = 500
"""Most pings of one call of `PingSink.send`."""

TICK_SECONDS: Final = 0.02
"""Pings that become due within this time are sent together."""

GRACE: Final = SECOND
"""Pings that are due before the end may be sent until this long (µs) after it."""


class PingSink(Protocol):
    """Delivers pings to the product."""

    async def send(self, pings: Sequence[Ping], stats: DeliveryStats) -> None:
        """Send pings, once there is room, and record each and its outcome in `stats`.

        Raises:
            StoreUptimeError: no further ping can be delivered.
        """

    async def drain(self) -> None:
        """Wait until all pings in flight are answered, for a limited time.

        Raises:
            StoreUptimeError: the product does not accept pings at all.
        """


class Pacer:
    """Sends the pings that are due, no faster than the sink accepts them: nothing queues up.

    A ping that finds the sink full is sent later; `stats.seconds_behind` is its delay.

    Args:
        pings: the pings in the order in which they are due.
        sink: delivers them.
        stats: counts them.
        clock: the wall clock, µs.
    """

    def __init__(
        self, pings: Iterator[Ping], sink: PingSink, stats: DeliveryStats, clock: Callable[[], int]
    ) -> None:
        self._pings = pings
        self._sink = sink
        self._stats = stats
        self._clock = clock
        self._next = next(pings, None)

    async def run(self, until: int | None = None) -> None:
        """Send the pings that are due before `until` (µs; None for no end), then wait for answers.

        Pings for which the sink had no room by then are not sent. If it is cancelled, it stops
        sending and still waits for answers.

        Raises:
            StoreUptimeError: raised by the sink.
        """
        try:
            await self._send(until)
        finally:
            await self._sink.drain()

    async def _send(self, until: int | None) -> None:
        while (ping := self._next) is not None and (until is None or ping.due < until):
            now = self._clock()
            if until is not None and now >= until + GRACE:
                return
            if ping.due > now:
                self._stats.seconds_behind = 0.0
                await asyncio.sleep(max(TICK_SECONDS, min((ping.due - now) / SECOND, 1.0)))
                continue
            self._stats.seconds_behind = (now - ping.due) / SECOND
            batch = self._due(now if until is None else min(now, until - 1))
            await self._sink.send(batch, self._stats)
            # a sink that always has room would leave the event loop no time for answers
            await asyncio.sleep(0)

    def _due(self, latest: int) -> list[Ping]:
        batch: list[Ping] = []
        while self._next is not None and self._next.due <= latest and len(batch) < MAX_BATCH:
            batch.append(self._next)
            self._next = next(self._pings, None)
        return batch
