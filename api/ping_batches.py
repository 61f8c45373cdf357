"""Pings of a few milliseconds become one record a store.

The number of records is what ingestion costs, from the producer to the worker's table. Every
store has a window of its own, which its first ping opens: no store waits for another's.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from stream_app.contracts.records import MAX_POLLS_PER_RECORD

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from stream_app.contracts.bodies import Poll

    Send = Callable[[str, list[Poll]], Awaitable[int]]

WINDOW_SECONDS: Final = 0.005


@dataclass(slots=True)
class _Window:
    outcome: asyncio.Future[int]
    polls: list[Poll] = field(default_factory=list)
    timer: Any = None


class PingBatches:
    """Gathers polls into records of one store.

    Args:
        send: sends a record of a store; returns the broker's append time in µs once the broker
            holds it, raises when it never will.
        window: seconds that a store's first ping waits for others of that store.
        call_later: another timer than the running loop's.
    """

    def __init__(
        self,
        send: Send,
        *,
        window: float = WINDOW_SECONDS,
        call_later: Callable[[float, Callable[[], None]], Any] | None = None,
    ) -> None:
        self._send = send
        self._seconds = window
        self._call_later = call_later
        self._open: dict[str, _Window] = {}
        self._sending: set[asyncio.Task[None]] = set()

    def add(self, store_id: str, polls: list[Poll]) -> asyncio.Future[int]:
        """Put polls into the store's next record: at least one, at most MAX_POLLS_PER_RECORD.

        Returns:
            what becomes of the record, shared by all whose polls are in it: wait for it without
            cancelling it. It is done when `send` is.
        """
        window = self._open.get(store_id)
        if window is not None and len(window.polls) + len(polls) > MAX_POLLS_PER_RECORD:
            self._close(store_id)
            window = None
        if window is None:
            window = self._begin(store_id)
        window.polls += polls
        if len(window.polls) >= MAX_POLLS_PER_RECORD:
            self._close(store_id)
        return window.outcome

    def close_all(self) -> None:
        """Send what is gathered, now."""
        for store_id in list(self._open):
            self._close(store_id)

    async def settle(self, patience: float) -> None:
        """Wait for what is being sent, for so many seconds at most."""
        if self._sending:
            await asyncio.wait(self._sending, timeout=patience)

    def _begin(self, store_id: str) -> _Window:
        loop = asyncio.get_running_loop()
        window = self._open[store_id] = _Window(loop.create_future())
        # whoever waited may have given up: nobody has to ask for an error
        window.outcome.add_done_callback(lambda outcome: outcome.cancelled() or outcome.exception())
        call_later = self._call_later or loop.call_later
        window.timer = call_later(self._seconds, lambda: self._close(store_id))
        return window

    def _close(self, store_id: str) -> None:
        window = self._open.pop(store_id)
        window.timer.cancel()
        task = asyncio.create_task(self._deliver(store_id, window))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _deliver(self, store_id: str, window: _Window) -> None:
        try:
            taken = await self._send(store_id, window.polls)
        except Exception as error:  # noqa: BLE001  handed on to all who wait
            window.outcome.set_exception(error)
        except asyncio.CancelledError:
            window.outcome.cancel()
            raise
        else:
            window.outcome.set_result(taken)
