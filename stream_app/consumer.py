"""Faust's consumer, with our own word on which offsets are committed, and on what is visible."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer
from faust.types import TP

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stream_app.agents.committable import Committable


_LOGGER: Final = logging.getLogger("faust.consumer")
"""A subclass logs under its own module otherwise, where its chatter would count as ours."""


class _CommittedRecordsThread(AIOKafkaConsumerThread):
    """Reads what is there to stay: a poll in a transaction that was aborted never happened."""

    logger = _LOGGER

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Faust sets it for exactly_once only; the fetcher is made from it at the start
        consumer._isolation_level = "read_committed"  # noqa: SLF001  no public way
        return consumer


class UptimeConsumer(Consumer):
    """Commits what `Committable` says, whatever Faust believes to be acknowledged.

    Args:
        transport: Faust's.
        committable: where the agents take their events.
        arguments: Faust's own.
    """

    logger = _LOGGER

    def __init__(self, transport: Any, *, committable: Committable, **arguments: Any) -> None:
        self._committable = committable
        super().__init__(transport, **arguments)

    def _new_consumer_thread(self) -> AIOKafkaConsumerThread:
        return _CommittedRecordsThread(self, loop=self.loop, beacon=self.beacon)

    def ack(self, message: Any) -> bool:
        """Faust is done with a message, whether it was processed or skipped."""
        if message.acked:
            return False
        message.acked = True
        self._unacked_messages.discard(message)
        waiting = self._waiting_for_ack
        if waiting is not None and not waiting.done():
            waiting.set_result(None)
        return True

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterable[TP]:
        taken = (TP(*partition) for partition in self._committable.partitions())
        return [tp for tp in taken if topics is None or tp in topics or tp.topic in topics]

    def _new_offset(self, tp: TP) -> int | None:
        return self._committable.offset(tp.topic, tp.partition)

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Holes in the offsets need no books: see `Frontier`."""
