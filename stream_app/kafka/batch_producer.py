"""Sends records to Kafka in batches that are built here, with one future for each batch.

aiokafka's `send` makes futures, metadata and a wake-up for every record; most of what a record
costs is that. A batch that is built here costs them once. While one batch of a partition is in
flight the next one gathers, so batches grow with the load.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from aiokafka import TopicPartition
from aiokafka.errors import KafkaTimeoutError, MessageSizeTooLargeError

from stream_app.contracts.topics import MAX_STATE_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

Header = tuple[str, bytes]
"""Name and value of a record header."""

RECORD_OVERHEAD: Final = 100
"""Bytes that a record and the batch around it take besides key, value and headers, at the most."""


@dataclass(frozen=True, slots=True)
class BatchMetadata:
    """The place and time that the broker gave to a batch.

    Attributes:
        first_offset: the offset of its first record; the others follow without a gap.
        append_time: µs, for topics with the broker's time.
    """

    first_offset: int
    append_time: int


class Batch:
    """Records of one partition that are sent together.

    Attributes:
        sent: the future that is done when the broker holds the batch, or failed if it never will.
            All callers whose records are in the batch share it: they wait for it without
            cancelling it.
        count: the number of its records so far; a record's index is the count before it was added.
        size: bytes of their values.
    """

    __slots__ = ("_builder", "count", "sent", "size")

    def __init__(self, builder: Any) -> None:
        self._builder = builder
        self.sent: asyncio.Future[BatchMetadata] = asyncio.get_running_loop().create_future()
        # if nothing waits for it any more, asyncio does not complain about an unread error
        self.sent.add_done_callback(lambda sent: sent.cancelled() or sent.exception())
        self.count = 0
        self.size = 0

    def _append(self, key: bytes | None, value: bytes | None, headers: Sequence[Header]) -> bool:
        """Append a record; return False if the batch is full."""
        added = self._builder.append(timestamp=None, key=key, value=value, headers=list(headers))
        if added is None:
            return False
        self.count += 1
        self.size += len(value or b"")
        return True


@dataclass(slots=True)
class _Queue:
    """The batches of a partition that are not yet handed over, the open one last."""

    where: TopicPartition
    batches: deque[Batch] = field(default_factory=deque)
    task: asyncio.Task[None] | None = None
    waiting: int = 0
    capacity: asyncio.Event = field(default_factory=asyncio.Event)


class BatchProducer:
    """Gathers records by partition.

    The batches of a partition are sent in order, each one when the broker has acknowledged the one
    before it. What is gathered is not bounded here: callers of `add` await `wait_for_capacity`, or
    have a budget.

    Args:
        client: a producer that has been started.
        linger: seconds for which the first record of all waits for others. The batches of all
            partitions that gathered meanwhile go out together, in one request.
    """

    def __init__(self, client: Any, *, linger: float = 0.0) -> None:
        self._client = client
        self._linger = linger
        self._queues: dict[TopicPartition, _Queue] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        *,
        headers: Sequence[Header] = (),
        at_once: bool = False,
    ) -> Batch:
        """Put a record into the partition's next batch.

        Args:
            topic: the topic.
            partition: the partition.
            key: the record's key.
            value: the record's value; None for a tombstone.
            headers: the record's headers.
            at_once: True if the batch does not linger.

        Returns:
            the batch that it is in, as its last record.

        Raises:
            MessageSizeTooLargeError: no batch takes it.
        """
        size = len(value or b"") + len(key or b"")
        if headers:
            size += sum(len(name) + len(text) for name, text in headers)
        if size + RECORD_OVERHEAD > MAX_STATE_BYTES:
            raise MessageSizeTooLargeError(f"a record of {size} bytes")
        # a plain tuple finds the queue as well, and is made in a tenth of the time
        queue = self._queues.get((topic, partition))
        if queue is None:
            where = TopicPartition(topic, partition)
            queue = self._queues[where] = _Queue(where)
        batch = queue.batches[-1] if queue.batches else self._open(queue)
        if not batch._append(key, value, headers):  # noqa: SLF001  of this module
            batch = self._open(queue)
            batch._append(key, value, headers)  # noqa: SLF001  the first record always fits
        queue.waiting += len(value or b"")
        if queue.task is None:
            if at_once or not self._linger or len(queue.batches) > 1:
                self._start(queue)
            elif self._timer is None:
                loop = asyncio.get_running_loop()
                self._timer = loop.call_later(self._linger, self.start_all)
        return batch

    def waiting(self, topic: str, partition: int) -> int:
        """Return the bytes of values that the broker has yet to take."""
        queue = self._queues.get((topic, partition))
        return 0 if queue is None else queue.waiting

    async def wait_for_capacity(self, topic: str, partition: int, max_bytes: int) -> None:
        """Wait until no more than `max_bytes` bytes of a partition are waiting."""
        queue = self._queues.get((topic, partition))
        while queue is not None and queue.waiting > max_bytes:
            queue.capacity.clear()
            await queue.capacity.wait()

    async def flush(self) -> None:
        """Wait until the broker has all records, or they have failed."""
        self.start_all()
        while tasks := [queue.task for queue in self._queues.values() if queue.task is not None]:
            await asyncio.wait(tasks)

    async def flush_partition(self, topic: str, partition: int) -> None:
        """Wait until the broker has all records of one partition, or they have failed."""
        while (queue := self._queues.get((topic, partition))) is not None:
            task = queue.task or self._start(queue)
            await asyncio.wait([task])

    def start_all(self) -> None:
        """Hand the gathered records over, without waiting for more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for queue in self._queues.values():
            if queue.task is None:
                self._start(queue)

    def _start(self, queue: _Queue) -> asyncio.Task[None]:
        task = queue.task = asyncio.create_task(self._send(queue))
        return task

    def _open(self, queue: _Queue) -> Batch:
        batch = Batch(self._client.create_batch())
        queue.batches.append(batch)
        return batch

    async def _send(self, queue: _Queue) -> None:
        try:
            while queue.batches:
                batch = queue.batches.popleft()
                await self._send_one(queue.where, batch)
                queue.waiting -= batch.size
                queue.capacity.set()
        finally:
            queue.task = None
            for batch in queue.batches:
                batch.sent.cancel()
            queue.waiting = 0
            queue.capacity.set()
            if self._queues.get(queue.where) is queue:
                del self._queues[queue.where]

    async def _send_one(self, where: TopicPartition, batch: Batch) -> None:
        try:
            while True:
                # it waits while the broker is away: the callers bound what may wait
                with suppress(KafkaTimeoutError):
                    sent = await self._client.send_batch(
                        batch._builder,  # noqa: SLF001  of this module
                        where.topic,
                        partition=where.partition,
                    )
                    break
            metadata = await sent
        except asyncio.CancelledError:
            batch.sent.cancel()
            raise
        except Exception as error:  # noqa: BLE001  handed on to all who wait
            batch.sent.set_exception(error)
        else:
            batch.sent.set_result(BatchMetadata(metadata.offset, metadata.timestamp * 1000))
