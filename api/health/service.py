"""Readiness: reports can be answered now, or the reason why not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiokafka import TopicPartition

from stream_app.contracts.topics import STORES
from stream_app.errors import BrokerUnavailableError
from stream_app.kafka.connectivity import LOST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from api.kafka.connection import KafkaConnection
    from stream_app.kafka.applied_offsets import AppliedOffsets
    from stream_app.kafka.connectivity import BrokerMonitor
    from stream_app.kafka.offsets import EndOffsetFetcher
    from stream_app.kafka.topic_tail import TopicTail
    from stream_app.kafka.topic_watch import TopicWatch


class Readiness:
    """Asks each part that reports need why it cannot work.

    Args:
        connection: the connection to Kafka.
        end_offset_fetcher: asks the brokers.
        broker_monitor: says why the brokers cannot be used.
        topic_watch: says which topic is missing or was replaced.
        tails: read the topics; they say why one cannot be read.
        applied_offsets: says which partitions no worker owns.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        end_offset_fetcher: EndOffsetFetcher,
        broker_monitor: BrokerMonitor,
        topic_watch: TopicWatch,
        tails: Sequence[TopicTail],
        applied_offsets: AppliedOffsets,
    ) -> None:
        self._connection = connection
        self._end_offset_fetcher = end_offset_fetcher
        self._broker_monitor = broker_monitor
        self._topic_watch = topic_watch
        self._topic_readers: list[TopicTail | AppliedOffsets] = [*tails, applied_offsets]
        self._applied_offsets = applied_offsets

    async def unavailable_reason(self) -> str | None:
        """Return why reports cannot be answered now, in one line; None if they can."""
        if self._connection.unavailable_reason is not None:
            return self._connection.unavailable_reason
        try:
            await self._connection.bounded_wait(
                self._end_offset_fetcher.fetch([TopicPartition(STORES.name, 0)])
            )
        except BrokerUnavailableError:
            # a right that was removed looks the same
            return self._broker_monitor.trouble or self._topic_watch.trouble or LOST
        for followed in self._topic_readers:
            if followed.trouble is not None:
                return followed.trouble
        if self._topic_watch.trouble is not None:
            return self._topic_watch.trouble
        return self._applied_offsets.why_unowned()
