"""Acknowledge an event when everything that it led to is in Kafka.

Faust acknowledges when the agent's loop comes round, whatever is still on its way; our agents
switch that off (`stream.enable_acks = False`) and come here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aiokafka.errors import ProducerFenced

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from stream_app.worker.commit_tracker import InFlightEvent

_CANCELLED: Final = RuntimeError("a record's way to Kafka was cut off")


def acknowledge_when_done(
    event: InFlightEvent,
    futures: Sequence[asyncio.Future[Any]],
    fail: Callable[[BaseException], None],
) -> None:
    """Acknowledge `event` once all futures are done; call `fail` if one failed.

    A changelog record that was refused because somebody else has claimed the partition since
    ends nothing: the event is left to the new owner.
    """
    waiting = len(futures)
    abandoned = False
    if not waiting:
        event.ack()
        return

    def on_done(future: asyncio.Future[Any]) -> None:
        nonlocal waiting, abandoned
        error = _CANCELLED if future.cancelled() else future.exception()
        if isinstance(error, ProducerFenced):
            if not abandoned:
                abandoned = True
                event.abandon()
            return
        if error is not None:
            fail(error)
            return
        waiting -= 1
        if not waiting:
            event.ack()

    for future in futures:
        future.add_done_callback(on_done)
