"""The offsets that the workers have applied, as any process sees them, and waiting for them.

Read your writes: ask the brokers for the end offsets, then wait until the watermarks of all
owners have reached them. What was acknowledged before the question is then in the tables.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from aiokafka import TopicPartition

from stream_app.contracts.topics import SOURCE_TOPICS, STORE_STATUS, WATERMARKS
from stream_app.contracts.watermarks import RestoreStatus, Watermark, decode_progress
from stream_app.kafka.topic_tail import TopicTail
from stream_app.periodic import cancel_tasks

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping

    from stream_app.kafka.offsets import EndOffsetFetcher
    from stream_app.settings import Settings

HEARTBEAT_SECONDS: Final = 0.4
"""Seconds after which an owner publishes its watermarks again."""

_SHARED_QUESTION_SECONDS: Final = 0.1
"""Seconds for which callers wait for the answer to an earlier question before they ask their own.
"""

OWNER_TIMEOUT_SECONDS: Final = 1.5
"""Seconds without a heartbeat after which a partition has no owner."""


class AppliedOffsets:
    """The watermarks of all source partitions, kept up to date.

    Args:
        settings: how to reach the broker.
        end_offset_fetcher: reads the end offsets of the source topics.
        monotonic: a clock in seconds that never goes back.
    """

    def __init__(
        self,
        settings: Settings,
        end_offset_fetcher: EndOffsetFetcher,
        monotonic: Callable[[], float],
    ) -> None:
        self._end_offset_fetcher = end_offset_fetcher
        self._monotonic = monotonic
        self._watermarks: dict[TopicPartition, Watermark] = {}
        self._last_heartbeat: dict[TopicPartition, float] = {}
        self._restores: dict[int, tuple[RestoreStatus, float]] = {}
        self._topic_ids: dict[str, str] = {}
        self._moved = asyncio.Condition()
        self._waiters = 0
        self._notification: asyncio.Task[None] | None = None
        self._partitions = [
            TopicPartition(spec.name, partition)
            for spec in SOURCE_TOPICS
            for partition in range(spec.partitions(settings))
        ]
        self._tail = TopicTail(
            settings,
            [WATERMARKS],
            end_offset_fetcher,
            self._on_record,
            from_beginning=False,
            on_round=self._on_round,
        )
        self._last_round_at: float | None = None
        self._questions: set[asyncio.Task[dict[TopicPartition, int]]] = set()
        self._question: asyncio.Task[dict[TopicPartition, int]] | None = None
        self._next_question: asyncio.Task[dict[TopicPartition, int]] | None = None

    async def start(self) -> None:
        """Begin to follow the watermarks.

        Raises:
            BrokerUnavailableError: no broker answers.
        """
        await self._tail.start()

    async def stop(self) -> None:
        """Stop following."""
        await cancel_tasks(self._questions)
        await self._tail.stop()

    @property
    def trouble(self) -> str | None:
        """Return why the watermarks cannot be read now, in one line; None if they can."""
        return self._tail.trouble

    def advance(self, watermark: Watermark) -> None:
        """Apply a watermark; an older one only shows that the owner is alive."""
        partition = TopicPartition(watermark.topic, watermark.partition)
        if partition not in self._partitions:
            # a record of another program: storing such records would fill the memory
            return
        topic_id = self._topic_ids.get(watermark.topic, watermark.topic_id)
        if watermark.topic_id not in (None, topic_id):
            # it is of a topic that was deleted, or of one that this process does not know yet
            return
        self._last_heartbeat[partition] = self._monotonic()
        self._watermarks[partition] = watermark.joined(self._watermarks.get(partition))
        if self._waiters and self._notification is None:
            self._notification = asyncio.create_task(self._notify())

    def set_topic_id(self, topic: str, topic_id: str) -> None:
        """Count only the watermarks of this topic from now on, and none of an earlier topic.

        Args:
            topic: a source topic; others are ignored.
            topic_id: its id now.
        """
        before = self._topic_ids.get(topic)
        self._topic_ids[topic] = topic_id
        for partition, watermark in list(self._watermarks.items()):
            # a watermark without an id is of an earlier version, and so of the earlier topic
            known = watermark.topic_id or before
            if partition.topic == topic and known not in (None, topic_id):
                del self._watermarks[partition]
                del self._last_heartbeat[partition]

    def topic_id(self, topic: str) -> str | None:
        """Return the id of a topic; None if it is not known."""
        return self._topic_ids.get(topic)

    def unowned(self) -> list[TopicPartition]:
        """Return the partitions without an owner: their worker is down, or restores them."""
        # there may be heartbeats that this process has not read yet
        now = self._last_round_at
        return [
            partition
            for partition in self._partitions
            if now is None
            or now - self._last_heartbeat.get(partition, float("-inf")) > OWNER_TIMEOUT_SECONDS
        ]

    def why_unowned(self) -> str | None:
        """Return one line about partitions without an owner and their restores, or None."""
        numbers = sorted({partition.partition for partition in self.unowned()})
        if not numbers:
            return None
        now = self._last_round_at or 0.0
        restores = [
            status.describe()
            for number in numbers
            if (known := self._restores.get(number)) is not None
            and now - known[1] <= OWNER_TIMEOUT_SECONDS
            for status in (known[0],)
        ]
        noun = "partition" if len(numbers) == 1 else "partitions"
        listed = ", ".join(map(str, numbers))
        return f"no worker owns {noun} {listed} now: " + (
            "; ".join(restores) if restores else "a worker is starting, or all are down"
        )

    def newest_poll(self) -> int | None:
        """Return the time of the newest known poll of all stores, µs; None without one."""
        return max(
            (
                watermark.newest_poll
                for watermark in self._watermarks.values()
                if watermark.topic == STORE_STATUS.name and watermark.newest_poll is not None
            ),
            default=None,
        )

    def stores_elsewhere(self, owned: Container[int]) -> int:
        """Return the number of stores in other partitions than these, as far as it is known now."""
        return sum(
            watermark.stores
            for watermark in self._watermarks.values()
            if watermark.topic == STORE_STATUS.name and watermark.partition not in owned
        )

    async def source_end_offsets(self) -> dict[TopicPartition, int]:
        """Return the end offsets of the source partitions now.

        Calls that come while the brokers are being asked share one question, which follows: the
        one in flight may have been answered before they came.

        Raises:
            BrokerUnavailableError: no broker answers.
        """
        if self._next_question is None:
            self._next_question = asyncio.create_task(self._ask_after(self._question))
            self._questions.add(self._next_question)
            self._next_question.add_done_callback(self._on_answer)
        # the question goes on for the other callers if one of them gives up
        return await asyncio.shield(self._next_question)

    async def _ask_after(self, earlier: asyncio.Task[Any] | None) -> dict[TopicPartition, int]:
        """Ask the brokers for end offsets once the question before has its answer."""
        if earlier is not None and not earlier.done():
            await asyncio.wait([earlier], timeout=_SHARED_QUESTION_SECONDS)
        self._question, self._next_question = self._next_question, None
        return await self._end_offset_fetcher.fetch(self._partitions)

    def _on_answer(self, question: asyncio.Task[Any]) -> None:
        self._questions.discard(question)
        if not question.cancelled():
            # if nobody waits for it any more, asyncio must not complain about the error
            question.exception()

    def has_applied(self, end_offsets: Mapping[TopicPartition, int]) -> bool:
        """Return True if all records below these offsets are applied, by the owners' watermarks."""
        return _reached(self._watermarks, end_offsets)

    async def catch_up(self) -> dict[TopicPartition, int]:
        """Wait until everything acknowledged before this call is applied somewhere.

        Returns:
            the end offsets of the source partitions that were read last.

        Raises:
            BrokerUnavailableError: no broker answers.
        """
        waited, end_offsets = await self._wait_for_now()
        if waited:
            # A record on a wrong partition is forwarded to the right one and applied there. Records
            # that were forwarded while we waited may lie beyond the end offsets that were read
            # first.
            _, end_offsets = await self._wait_for_now()
        return end_offsets

    async def _wait_for_now(self) -> tuple[bool, dict[TopicPartition, int]]:
        """Wait until all records below the end offsets of now are applied.

        Returns:
            whether any was missing, and the end offsets.
        """
        before = dict(self._watermarks)
        end_offsets = await self.source_end_offsets()
        for p, watermark in list(before.items()):
            if watermark.applied > end_offsets[p] and self._watermarks.get(p) is watermark:
                # a watermark beyond the end of the topic is of a topic that was deleted
                del self._watermarks[p]
                del before[p]
        if _reached(before, end_offsets):
            return False, end_offsets
        self._waiters += 1
        try:
            async with self._moved:
                await self._moved.wait_for(lambda: self.has_applied(end_offsets))
        finally:
            self._waiters -= 1
        return True, end_offsets

    async def _notify(self) -> None:
        self._notification = None
        async with self._moved:
            self._moved.notify_all()

    def _on_round(self) -> None:
        self._last_round_at = self._monotonic()

    def _on_record(self, record: Any) -> None:
        progress = decode_progress(record.value)
        if isinstance(progress, Watermark):
            self.advance(progress)
        elif TopicPartition(STORE_STATUS.name, progress.partition) in self._partitions:
            self._restores[progress.partition] = (progress, self._monotonic())


def _reached(
    watermarks: Mapping[TopicPartition, Watermark], end_offsets: Mapping[TopicPartition, int]
) -> bool:
    return all(
        (known := watermarks.get(p)) is not None and known.applied >= offset
        for p, offset in end_offsets.items()
    )
