"""Faust's consumer, changed in three ways.

It commits the offsets of `CommitTracker`, it reads committed records only, and it hands the records
of the source topics to the agents in chunks.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from aiokafka import TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError
from aiokafka.structs import OffsetAndMetadata
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer
from faust.transport.utils import DefaultSchedulingStrategy
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from stream_app.contracts.topics import SOURCE_TOPICS
from stream_app.kafka import safe_records
from stream_app.kafka.group_errors import join_again_after_errors
from stream_app.kafka.safe_records import UnreadableRecords, last_offset
from stream_app.worker.record_chunks import RecordChunk, split_into_chunks

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping

    from stream_app.worker.commit_tracker import CommitTracker


log = logging.getLogger(__name__)

FETCH_WAIT_MS: Final = 50
"""Milliseconds that the broker waits for records before it answers a fetch without any.

aiokafka has one fetch in flight, for the partitions of which it holds no record: a partition that
is consumed meanwhile waits until that fetch is answered.
"""

EMPTY_SECONDS: Final = 10.0
"""Seconds that a rebalance or a stop waits for the events in flight."""

_LOGGER: Final = logging.getLogger("faust.consumer")
"""The logger of Faust's consumer: a subclass would log as this module, and look like ours."""


_CHUNKED_TOPICS: Final = frozenset(spec.name for spec in SOURCE_TOPICS)


class ChunkMessage(ConsumerMessage):
    """A chunk of records as one of Faust's messages, at the offset of the last record.

    A range of offsets that cannot be read is one record of a chunk; of a request topic it is a
    chunk of its own.
    """

    __slots__ = ("records",)

    def __init__(self, tp: TP, run: RecordChunk, generation: int) -> None:
        last = run.records[-1]
        super().__init__(
            tp.topic,
            tp.partition,
            last_offset(last),
            last.timestamp / 1000,
            last.timestamp_type,
            None,
            None,
            b"",
            None,
            tp=tp,
            generation_id=generation,
        )
        self.records = run.records


class ChunkScheduler(DefaultSchedulingStrategy):
    """Hands out partitions and topics in turn, as Faust does; the sources in chunks of records."""

    def iterate(self, records: Mapping[TP, list[Any]]) -> Iterator[tuple[TP, Any]]:
        """Iterate over records, and chunks of records."""
        chunks = {
            tp: list((split_into_chunks if tp.topic in _CHUNKED_TOPICS else _single)(fetched))
            for tp, fetched in records.items()
        }
        each: Iterator[tuple[TP, Any]] = super().iterate(chunks)
        return each


def _single(records: Iterable[Any]) -> list[Any]:
    """Return the records one by one; only a chunk can carry a range that cannot be read."""
    return [
        RecordChunk([record]) if isinstance(record, UnreadableRecords) else record
        for record in records
    ]


class _ActivePartitionsFilter:
    """The partitions to fetch from at this moment; it never means all of them.

    aiokafka takes an empty set for no filter. While all partitions are
    restored none is active: a fetch that was waiting then took what was there, Faust threw it
    away, and the position was behind it.
    """

    def __init__(self, active: set[TP]) -> None:
        self._active = active

    def __bool__(self) -> bool:
        return True

    def __contains__(self, partition: object) -> bool:
        return partition in self._active


class ConsumerThread(AIOKafkaConsumerThread):
    """Reads committed records only, and does not end when a commit fails."""

    logger = _LOGGER

    def _create_worker_consumer(self, transport: Any) -> Any:
        safe_records.install()
        consumer = super()._create_worker_consumer(transport)
        # A poll in a transaction that was aborted never happened. Faust sets this for exactly_once
        # only; the fetcher is made from it at the start.
        consumer._isolation_level = "read_committed"  # noqa: SLF001  no public way
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS  # noqa: SLF001
        consumer._partition_assignment_strategy = (self.consumer.assignor,)  # noqa: SLF001
        return consumer

    async def _fetch_records(
        self, consumer: Any, active_partitions: Any, *arguments: Any, **options: Any
    ) -> Any:
        if active_partitions is not None:
            active_partitions = _ActivePartitionsFilter(active_partitions)
        return await super()._fetch_records(consumer, active_partitions, *arguments, **options)

    async def on_start(self) -> None:
        """Start the consumer, which joins the group whatever errors it meets."""
        await super().on_start()

        def fail(error: BaseException) -> None:
            self.app.loop.call_soon_threadsafe(self.app.on_fatal_error, error)

        coordinator = self._ensure_consumer()._coordinator  # noqa: SLF001  no public way
        join_again_after_errors(coordinator, fail)

    async def on_thread_stop(self) -> None:
        """Leave the group for good if we were asked to stop.

        A member with a name of its own stays in the group until it comes back, or until its session
        is over. So a worker that is asked to stop leaves: its partitions get new owners at once.
        """
        await super().on_thread_stop()
        if not self.app.crashed:
            await self.consumer.leave()

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        try:
            await self._ensure_consumer().commit(
                {
                    TopicPartition(*tp): OffsetAndMetadata(offset, "")
                    for tp, offset in offsets.items()
                }
            )
        except (KafkaError, IllegalStateError) as error:
            # a lost broker or a rebalance: Faust would end the worker, but what is committed later,
            # or never, only comes again
            log.warning("cannot commit offsets now: %r", error)
            return False
        return True


class UptimeConsumer(Consumer):
    """Commits the offsets of `CommitTracker`, and reads a partition when its facts are restored.

    Args:
        transport: Faust's.
        commit_tracker: tracks the events of the agents.
        assignor: shares the partitions out in the group.
        leave: makes this worker leave the group; called in the consumer's thread.
        on_drained: called when nothing is in flight any more, before partitions are revoked.
        arguments: Faust's own.
    """

    logger = _LOGGER

    def __init__(
        self,
        transport: Any,
        *,
        commit_tracker: CommitTracker,
        assignor: Any,
        on_drained: Callable[[], Awaitable[None]],
        leave: Callable[[], Awaitable[None]],
        **arguments: Any,
    ) -> None:
        self.leave = leave
        self._commit_tracker = commit_tracker
        self._on_drained = on_drained
        self.assignor = assignor
        self._kept_paused: set[TP] = set()
        self._fetchable = asyncio.Event()
        super().__init__(transport, **arguments)

    def _new_consumer_thread(self) -> AIOKafkaConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def _to_message(self, tp: TP, record: Any) -> ConsumerMessage:
        if isinstance(record, RecordChunk):
            return ChunkMessage(tp, record, self.app.consumer_generation_id)
        return super()._to_message(tp, record)

    def ack(self, message: Any) -> bool:
        """Acknowledge a message to Faust, whether it was processed or skipped."""
        if message.acked:
            return False
        message.acked = True
        self._unacked_messages.discard(message)
        waiting = self._waiting_for_ack
        if waiting is not None and not waiting.done():
            waiting.set_result(None)
        return True

    def pause_partitions(self, tps: Iterable[TP]) -> None:
        """Fetch no more from partitions."""
        paused = set(tps)
        self._kept_paused -= paused
        super().pause_partitions(paused)

    def resume_partitions(self, tps: Iterable[TP]) -> None:
        """Keep the partitions paused that Faust resumes; `fetch_partition` resumes each of them.

        Faust resumes everything at the end of a rebalance. A partition here is read when its facts
        are restored and its position is set.
        """
        self._kept_paused |= set(tps)

    def fetch_partition(self, partition: int) -> None:
        """Fetch from all topics of a partition, whose positions are set."""
        released = {tp for tp in self._kept_paused if tp.partition == partition}
        self._kept_paused -= released
        super().resume_partitions(released)
        self._fetchable.set()

    def pause_partition(self, partition: int) -> None:
        """Fetch no more from a partition until `fetch_partition` is called for it."""
        stopped = {tp for tp in self.assignment() if tp.partition == partition}
        self.pause_partitions(stopped)
        self._kept_paused |= stopped

    async def perform_seek(self) -> None:
        """Set no position: each one is set when its partition's facts are restored."""

    async def _seek(self, partition: TP, offset: int) -> None:
        """Seek in the consumer's own thread.

        Faust would call aiokafka from another thread. There the seek may discard fetched records
        while the consumer's thread reads them, which ended the worker with a `KeyError`.
        """
        thread = self._thread

        async def seek() -> None:
            thread._ensure_consumer().seek(TopicPartition(*partition), offset)  # noqa: SLF001

        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(seek(), thread.thread_loop))

    async def _wait_next_records(self, timeout: float) -> Any:  # noqa: ASYNC109  Faust's
        if self.flow_active and not self._get_active_partitions():
            # Faust would sleep for a second, with records to fetch after a tenth of it
            self._fetchable.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await self._fetchable.wait()
            if not self._get_active_partitions():
                return {}, self._get_active_partitions()
        return await super()._wait_next_records(timeout)

    def on_buffer_full(self, tp: TP) -> None:
        """Fetch on, and wait where the queue is full.

        Faust would ask for the other partitions only, and hear of room in this one up to a second
        later: a backlog took twice as long.
        """

    async def wait_empty(self) -> None:
        """Wait for the events in flight, but not for ever.

        Events whose records a lost broker does not acknowledge in time are not committed: they are
        read again.
        """
        try:
            async with asyncio.timeout(EMPTY_SECONDS):
                await super().wait_empty()
        except TimeoutError:
            log.warning(
                "records in flight are not acknowledged after %g s: they are read again",
                EMPTY_SECONDS,
            )
        await self._on_drained()

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterable[TP]:
        tracked = (TP(*partition) for partition in self._commit_tracker.partitions())
        return [tp for tp in tracked if topics is None or tp in topics or tp.topic in topics]

    def _new_offset(self, tp: TP) -> int | None:
        return self._commit_tracker.offset(TopicPartition(*tp))

    async def _commit_offsets(
        self,
        offsets: Mapping[TP, int],
        start_new_transaction: bool = True,  # noqa: ARG002  Faust's
    ) -> bool:
        """Commit offsets, and record as committed only those that Kafka has accepted."""
        assigned = self.assignment()
        ours = {tp: offset for tp, offset in offsets.items() if tp in assigned}
        if not ours or not await self._commit(ours):
            return False
        self._committed_offset.update(ours)
        return True

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Do nothing: `OffsetTracker` needs no list of the gaps in the offsets."""
