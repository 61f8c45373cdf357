"""Polls, business hours and time zones into the table.

An event is acknowledged when everything that it led to is in Kafka: its changelog records,
its dead letters, or itself on the right partition. What cannot be used becomes a dead
letter with a reason; what cannot be written (a full disk, a broken database) ends the
worker with the event unacknowledged, so that it is applied again.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiokafka.errors import MessageSizeTooLargeError

from stream_app.agents.acknowledge import acknowledge_when_done
from stream_app.agents.messages import dead_letter_of, taken_at
from stream_app.contracts.partitioning import partition_of
from stream_app.contracts.records import (
    decode_hours,
    decode_poll_batch,
    decode_zone,
    split_ahead,
)
from stream_app.domain.buckets import BucketLayout
from stream_app.domain.hours import WeeklyHours
from stream_app.domain.polls import newest, poll_set, to_bytes
from stream_app.errors import RecordError, TableError
from stream_app.tables import HOURS_TAG, ZONE_TAG, bucket_key, bucket_reader, encode_rows, store_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from stream_app.agents.committable import Committable
    from stream_app.agents.outbox import Outbox
    from stream_app.agents.ownership import Ownership
    from stream_app.settings import Settings
    from stream_app.tables import FactsTable

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Change:
    """What a record changes: the writes of one store.

    Attributes:
        store_id: the store.
        writes: table keys and values, in the order in which to write them.
        newest_poll: µs of the newest poll in the record.
        refused: reasons for the parts of the record that were refused.
    """

    store_id: str
    writes: list[tuple[bytes, bytes]]
    newest_poll: int | None = None
    refused: tuple[str, ...] = ()


class Ingest:
    """The three agents that fill the table.

    Args:
        settings: retention, tolerance, partitions.
        facts: the table.
        ownership: told of every applied record.
        outbox: for what is refused or passed on.
        committable: where events are taken.
        fail: called with an error after which this worker must not go on.
    """

    def __init__(
        self,
        settings: Settings,
        facts: FactsTable,
        ownership: Ownership,
        outbox: Outbox,
        committable: Committable,
        fail: Callable[[BaseException], None],
    ) -> None:
        self._settings = settings
        self._layout = BucketLayout(settings.retention)
        self._facts = facts
        self._ownership = ownership
        self._outbox = outbox
        self._committable = committable
        self._fail = fail
        self._on_their_way: set[asyncio.Task[None]] = set()

    async def polls(self, stream: Any) -> None:
        """The agent of `store-status`."""
        await self._each(stream, self._poll_change)

    async def business_hours(self, stream: Any) -> None:
        """The agent of `store-business-hours`."""
        await self._each(stream, self._hours_change)

    async def timezones(self, stream: Any) -> None:
        """The agent of `store-timezones`."""
        await self._each(stream, self._zone_change)

    async def _each(self, stream: Any, change_of: Callable[[Any, int], Change]) -> None:
        # acknowledged here, not when the loop comes round: see the module's docstring
        stream.enable_acks = False
        events: AsyncIterator[Any] = stream.events()
        async for event in events:
            if self._ownership.get(event.message.partition) is None:
                # nothing of the table is known here: it comes again to whoever owns it next
                event.ack()
                continue
            taken = self._committable.take(event)
            try:
                futures = await self._apply(taken.message, change_of)
            except Exception as error:  # noqa: BLE001  the worker ends with it
                self._fail(error)
                return
            acknowledge_when_done(taken, futures, self._fail)

    async def _apply(
        self, message: Any, change_of: Callable[[Any, int], Change]
    ) -> list[asyncio.Future[Any]]:
        topic, partition, offset = message.topic, message.partition, message.offset
        self._ownership.begin(partition, topic, offset)
        try:
            change = change_of(message, partition)
        except _WrongPartitionError as wrong:
            return [await self._pass_on(message, wrong)]
        except TableError:
            # nothing is wrong with the record
            raise
        except RecordError as error:
            return [await self._refuse(message, str(error))]
        except Exception as error:
            log.exception("%s/%d/%d", topic, partition, offset)
            return [await self._refuse(message, f"internal error: {error!r}")]
        futures = [await self._facts.put(partition, key, value) for key, value in change.writes]
        if change.refused:
            reason = f"{len(change.refused)} polls refused: {'; '.join(change.refused[:20])}"
            futures.append(await self._outbox.dead_letter(dead_letter_of(message, reason)))
        await self._ownership.applied(
            partition,
            topic,
            offset,
            store=store_key(change.store_id),
            newest_poll=change.newest_poll,
        )
        return futures

    async def _pass_on(self, message: Any, wrong: _WrongPartitionError) -> asyncio.Future[Any]:
        """Send a record to the partition that owns its store; done when nothing is left to do.

        Many may be on their way, in the order in which they came.
        """
        try:
            sent = await self._outbox.pass_on(
                message.topic, wrong.partition, wrong.store_id, message.value
            )
        except MessageSizeTooLargeError:
            return await self._refuse(message, f"too large to pass on: {wrong}")
        task = asyncio.create_task(self._passed_on(message, wrong, sent))
        self._on_their_way.add(task)
        task.add_done_callback(self._on_their_way.discard)
        return task

    async def _passed_on(
        self, message: Any, wrong: _WrongPartitionError, sent: asyncio.Future[Any]
    ) -> None:
        try:
            await sent
        except MessageSizeTooLargeError:
            # it came compressed, or without a key
            await (await self._refuse(message, f"too large to pass on: {wrong}"))
        else:
            # only now: who waits for this partition finds it below the other one's highwater
            self._ownership.finish(message.partition, message.topic, message.offset)

    async def _refuse(self, message: Any, reason: str) -> asyncio.Future[Any]:
        sent = await self._outbox.dead_letter(dead_letter_of(message, reason))
        await self._ownership.applied(message.partition, message.topic, message.offset)
        return sent

    def _check_partition(self, store_id: str, partition: int) -> None:
        right = partition_of(store_id.encode(), self._settings.partitions)
        if right != partition:
            raise _WrongPartitionError(store_id, right)

    def _poll_change(self, message: Any, partition: int) -> Change:
        batch, refused = decode_poll_batch(message.value)
        self._check_partition(batch.store_id, partition)
        # the broker's time of the record, so that a replay refuses what was refused before
        taken = taken_at(message)
        good, ahead = split_ahead(batch.polls, taken, self._settings.future_tolerance)
        refused += ahead
        if not good:
            raise RecordError("; ".join(refused[:20]))
        polls = poll_set(good)
        store = store_key(batch.store_id)
        read = bucket_reader(self._facts, partition, store)
        writes = [
            (bucket_key(store, write.bucket), to_bytes(write.polls))
            for write in self._layout.writes(polls, read)
        ]
        return Change(batch.store_id, writes, newest(polls), tuple(refused))

    def _hours_change(self, message: Any, partition: int) -> Change:
        record = decode_hours(message.value)
        self._check_partition(record.store_id, partition)
        WeeklyHours.from_rows(record.hours)
        # spaces have no meaning, and a compressed record may hold more than the changelog takes
        rows = [(day, start.strip(), end.strip()) for day, start, end in record.hours]
        return self._last_wins(partition, record.store_id, HOURS_TAG, encode_rows(rows))

    def _zone_change(self, message: Any, partition: int) -> Change:
        record = decode_zone(message.value)
        self._check_partition(record.store_id, partition)
        return self._last_wins(partition, record.store_id, ZONE_TAG, record.timezone.encode())

    def _last_wins(self, partition: int, store_id: str, tag: bytes, value: bytes) -> Change:
        key = store_key(store_id) + tag
        same = self._facts.get(partition, key) == value
        return Change(store_id, [] if same else [(key, value)])


class _WrongPartitionError(Exception):
    """The record's partition does not own its store: its client's partitioner differs."""

    def __init__(self, store_id: str, partition: int) -> None:
        self.store_id = store_id
        self.partition = partition
        super().__init__(f"{store_id} belongs to partition {partition}")
