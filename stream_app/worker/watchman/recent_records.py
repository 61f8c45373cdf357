"""Reads the records of a few stores from the topics, slowly, and stores them in memory."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from stream_app.errors import BrokerUnavailableError, StoreUptimeError
from stream_app.kafka.clients import safe_consumer
from stream_app.kafka.safe_records import UnreadableRecords

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from aiokafka import TopicPartition

    from stream_app.settings import Settings

BYTES_PER_SECOND: Final = 1 << 20
"""Bytes that are read in one second: so slow a reader uses a few hundredths of one core."""

RECORD_BYTES: Final = 100
"""Bytes that are counted for each record besides its value: even an empty one costs time."""

SLICE_RECORDS: Final = 250
"""Records that are searched before other tasks of the event loop have their turn."""

MAX_MEMORY_BYTES: Final = 32 << 20
"""Most bytes of records of the chosen stores in memory at once."""

READ_TIMEOUT_SECONDS: Final = 30.0
"""Seconds after which a broker that has more records and sends none is out of reach."""

_FETCH_BYTES: Final = 256 << 10
_WAIT_MS: Final = 1000


class NotComparableError(StoreUptimeError):
    """The topics do not have, or no longer have, the records that a comparison needs."""


def new_consumer(settings: Settings) -> Any:
    """Make the consumer that the watchman reads with; it is in no group."""
    return safe_consumer(
        settings,
        # records that are deleted while they are read must not be left out without an error
        auto_offset_reset="none",
        # as the worker reads: records of an aborted transaction do not count
        isolation_level="read_committed",
        max_partition_fetch_bytes=_FETCH_BYTES,
    )


class RecentRecords:
    """Reads ranges of partitions, and stores the records that name one of the chosen stores.

    The stored records can be read any number of times: this is a `Reader` as `explain` needs it. A
    later call of `read_to` goes on where the last one ended.

    Args:
        consumer: a consumer that has been started; see `new_consumer`.
        store_ids: the stores, by canonical id.
        bytes_per_second: how fast to read.

    Attributes:
        read_records: the number of records that were read.
        read_bytes: the bytes of their values, and RECORD_BYTES for each record.
    """

    def __init__(
        self, consumer: Any, store_ids: Iterable[str], bytes_per_second: int = BYTES_PER_SECOND
    ) -> None:
        self._consumer = consumer
        dashed = [store_id.encode() for store_id in store_ids]
        self._names = [*dashed, *(name.replace(b"-", b"") for name in dashed)]
        self._bytes_per_second = bytes_per_second
        self._records: dict[TopicPartition, list[Any]] = {}
        self._memory_bytes = 0
        self._ends: dict[TopicPartition, int] = {}
        self._first_append_times: dict[TopicPartition, int] = {}
        self.read_records = 0
        self.read_bytes = 0

    async def read_to(self, partition: TopicPartition, first: int, end: int) -> None:
        """Read the records of a partition in `[first, end)`, without those that were read before.

        Raises:
            NotComparableError: they are deleted, or too many of them name one of the stores.
            BrokerUnavailableError: no record came for READ_TIMEOUT_SECONDS.
        """
        stored = self._records.setdefault(partition, [])
        position = max(first, self._ends.get(partition, first))
        if position >= end:
            self._ends[partition] = max(end, self._ends.get(partition, end))
            return
        self._consumer.assign([partition])
        self._consumer.seek(partition, position)
        loop = asyncio.get_running_loop()
        last_record_at = loop.time()
        while position < end:
            records, position = await self._fetch(partition)
            if records:
                last_record_at = loop.time()
            elif loop.time() - last_record_at >= READ_TIMEOUT_SECONDS:
                raise BrokerUnavailableError("no Kafka broker sends records")
            for record in records:
                if isinstance(record, UnreadableRecords):
                    # a worker has written a dead letter of it
                    continue
                self._record_first_append_time(partition, record)
                # a record without a value removes a fact of the store in its key
                value = (record.value or record.key or b"").lower()
                # most records are of other stores: searching for the ids is quicker than parsing
                if record.offset < end and any(name in value for name in self._names):
                    stored.append(record)
                    self._memory_bytes += len(value) + RECORD_BYTES
            if self._memory_bytes > MAX_MEMORY_BYTES:
                raise NotComparableError("the stores have more records than can be kept in memory")
            size = sum(len(record.value or b"") + RECORD_BYTES for record in records)
            self.read_records += len(records)
            self.read_bytes += size
            await asyncio.sleep(size / self._bytes_per_second)
        self._ends[partition] = end

    async def _fetch(self, partition: TopicPartition) -> tuple[list[Any], int]:
        try:
            fetched = await self._consumer.getmany(
                partition, timeout_ms=_WAIT_MS, max_records=SLICE_RECORDS
            )
            position = await self._consumer.position(partition)
        except OffsetOutOfRangeError:
            raise NotComparableError(
                f"records of {partition.topic}/{partition.partition} were deleted while they were "
                "read"
            ) from None
        except KafkaError as error:
            raise BrokerUnavailableError(f"the topics cannot be read now: {error!r}") from error
        return fetched.get(partition, []), position

    def _record_first_append_time(self, partition: TopicPartition, record: Any) -> None:
        if partition in self._first_append_times:
            return
        # 1: the broker set the time when it appended the record
        append_time = -1 if record.timestamp_type != 1 else record.timestamp * 1000
        self._first_append_times[partition] = append_time

    def first_append_time(self, partition: TopicPartition) -> int | None:
        """Return the append time of the first record read of a partition, µs; None without one.

        Raises:
            NotComparableError: the records do not carry the broker's time.
        """
        if partition not in self._first_append_times:
            return None
        append_time = self._first_append_times[partition]
        if append_time < 0:
            raise NotComparableError(f"records of {partition.topic} do not carry the broker's time")
        return append_time

    def of_store(self, partition: TopicPartition, store_id: str) -> list[Any]:
        """Return the stored records of a partition that name a store."""
        dashed = store_id.encode()
        names = (dashed, dashed.replace(b"-", b""))
        return [
            record
            for record in self._records.get(partition, ())
            if any(name in (record.value or record.key or b"").lower() for name in names)
        ]

    async def bounds(self, partition: TopicPartition) -> tuple[int, int]:
        """Return offset 0, and the offset up to which the partition was read."""
        return 0, self._ends.get(partition, 0)

    async def records(self, partition: TopicPartition, first: int, end: int) -> AsyncIterator[Any]:
        """Yield the stored records in `[first, end)`."""
        stored = self._records.get(partition, [])
        for index in range(bisect_left(stored, first, key=attrgetter("offset")), len(stored)):
            if stored[index].offset >= end:
                return
            yield stored[index]
