"""The three agents that write polls, business hours and timezones into the facts table.

Records come in chunks: those of one partition that were fetched together, as one event.

An event is acknowledged when everything that it led to is in Kafka: its changelog records, its
dead letters, or a record itself on the right partition. What cannot be used becomes a dead letter
with a reason; what cannot be written (a full disk, a broken database) ends the worker with the
event unacknowledged, so that it is applied again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stream_app.worker.agents.chunk_result import ChunkResult
from stream_app.worker.agents.chunk_writer import ChunkWriter
from stream_app.worker.agents.forwarder import Forwarder
from stream_app.worker.agents.messages import dead_letter_of, log_dead_letter
from stream_app.worker.late_poll_log import LatePollLog

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from stream_app.settings import Settings
    from stream_app.worker.agents.event_processor import EventProcessor
    from stream_app.worker.commit_tracker import InFlightEvent
    from stream_app.worker.latest_polls import LatestPollPublisher
    from stream_app.worker.metrics import WorkerMetrics
    from stream_app.worker.owned_partitions import OwnedPartition, OwnedPartitions
    from stream_app.worker.publisher import Publisher

    Apply = Callable[[Sequence[Any], ChunkResult], None]


class Ingest:
    """The agents of the source topics.

    Args:
        settings: retention, tolerance, partitions.
        event_processor: hands out the events.
        owned_partitions: records what is applied.
        publisher: sends dead letters and misplaced records.
        latest_polls: publishes the newest poll of every store.
        metrics: counts polls that are not kept.
    """

    def __init__(
        self,
        settings: Settings,
        event_processor: EventProcessor,
        owned_partitions: OwnedPartitions,
        publisher: Publisher,
        latest_polls: LatestPollPublisher,
        metrics: WorkerMetrics,
    ) -> None:
        self._event_processor = event_processor
        self._owned_partitions = owned_partitions
        self._publisher = publisher
        self._latest_polls = latest_polls
        self._metrics = metrics
        self._late_polls = LatePollLog()
        self._writer = ChunkWriter(settings, owned_partitions, latest_polls)
        self._forwarder = Forwarder(publisher, owned_partitions)

    async def polls(self, stream: Any) -> None:
        """Process `store-status`."""
        await self._process(stream, self._writer.apply_polls)

    async def business_hours(self, stream: Any) -> None:
        """Process `store-business-hours`."""
        await self._process(stream, self._writer.apply_hours)

    async def timezones(self, stream: Any) -> None:
        """Process `store-timezones`."""
        await self._process(stream, self._writer.apply_timezones)

    async def _process(self, stream: Any, apply: Apply) -> None:
        async def work(event: InFlightEvent, owned: OwnedPartition) -> list[asyncio.Future[Any]]:
            return await self._apply(event, owned, apply)

        await self._event_processor.process(stream, work)

    async def _apply(
        self, event: InFlightEvent, owned: OwnedPartition, apply: Apply
    ) -> list[asyncio.Future[Any]]:
        topic = event.message.topic
        owned.start(topic, event.first, event.end)
        result = ChunkResult(owned)
        apply(event.message.records, result)
        result.gone_stores = {
            store for store in result.retracted_stores if not self._writer.has_facts(owned, store)
        }
        self._record(result)
        futures: list[asyncio.Future[Any]] = [batch.sent for batch in result.batches]
        for record, reason in result.rejected:
            dead_letter = log_dead_letter(record, reason)
            futures.append(await self._publisher.publish_dead_letter(dead_letter))
        futures += await self._reject_late(result)
        if result.misplaced_records:
            return [*futures, self._forwarder.start(result.misplaced_records, owned, event)]
        self._owned_partitions.complete(owned, topic, event.first)
        return futures

    def _record(self, result: ChunkResult) -> None:
        """Record the applied changes, so that they are visible before anything is waited for."""
        owned = result.owned
        removed = self._latest_polls.remove(owned.number, result.stores_without_polls)
        self._latest_polls.record_polls(owned.number, result.latest)
        if removed is not None and removed >= (owned.newest_poll or 0):
            owned.newest_poll = self._latest_polls.newest(owned.number)
        self._owned_partitions.record_applied(
            owned, result.stores - result.gone_stores, result.newest_poll
        )
        self._owned_partitions.record_removed(owned, result.gone_stores)

    async def _reject_late(self, result: ChunkResult) -> list[asyncio.Future[Any]]:
        """Publish dead letters of polls older than the retention; a line a minute counts them."""
        if result.expired_polls:
            self._metrics.polls_dropped("expired", result.expired_polls)
        if not result.late_records:
            return []
        self._metrics.polls_dropped("late", sum(count for _, _, count in result.late_records))
        self._late_polls.warn(result.late_records)
        return [
            await self._publisher.publish_dead_letter(dead_letter_of(record, reason))
            for record, reason, _ in result.late_records
        ]
