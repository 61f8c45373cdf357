"""The records of a few stores, read from the topics slowly and kept in memory."""

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
"""Bytes that are read in one second: a slow reader uses a few hundredths of one core."""

RECORD_BYTES: Final = 100
"""Bytes that a record counts besides its value: unpacking it costs time for any value."""

SLICE_RECORDS: Final = 250
"""Records that are looked at before everything else on the event loop has its turn."""

MAX_KEPT_BYTES: Final = 32 << 20
"""Values of the chosen stores that are kept in memory at once."""

READ_TIMEOUT_SECONDS: Final = 30.0
"""Seconds without a record, while there are more, after which the broker is out of reach."""

_FETCH_BYTES: Final = 256 << 10
_WAIT_MS: Final = 1000


class NotComparableError(StoreUptimeError):
    """The topics do not hold, or no longer hold, what a comparison needs."""


def new_consumer(settings: Settings) -> Any:
    """Make the consumer that the watchman reads with; it is in no group."""
    return safe_consumer(
        settings,
        # records that are deleted while they are read must not be stepped over silently
        auto_offset_reset="none",
        # as the worker reads: what a transaction took back never happened
        isolation_level="read_committed",
        max_partition_fetch_bytes=_FETCH_BYTES,
    )


class RecentRecords:
    """Reads ranges of partitions and keeps the records that name one of some stores.

    The records in memory can be read again and again, as the `Reader` that `explain` takes. A
    range is read from its first offset on, and may be read on later where it ended.

    Args:
        consumer: a consumer that has been started; see `new_consumer`.
        store_ids: the stores, by canonical id.
        bytes_per_second: how fast to read.

    Attributes:
        read_records: records that were looked at.
        read_bytes: bytes of their values, and RECORD_BYTES for each.
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
        self._first_times: dict[TopicPartition, int] = {}
        self.read_records = 0
        self.read_bytes = 0

    async def read_to(self, place: TopicPartition, first: int, end: int) -> None:
        """Read the records of a partition in `[first, end)`, without those that were read before.

        Raises:
            NotComparableError: they are no longer there, or too many name one of the stores.
            BrokerUnavailableError: nothing came for READ_TIMEOUT_SECONDS.
        """
        stored = self._records.setdefault(place, [])
        position = max(first, self._ends.get(place, first))
        if position >= end:
            self._ends[place] = max(end, self._ends.get(place, end))
            return
        self._consumer.assign([place])
        self._consumer.seek(place, position)
        loop = asyncio.get_running_loop()
        heard = loop.time()
        while position < end:
            records, position = await self._fetch(place)
            if records:
                heard = loop.time()
            elif loop.time() - heard >= READ_TIMEOUT_SECONDS:
                raise BrokerUnavailableError("no Kafka broker sends records")
            for record in records:
                if isinstance(record, UnreadableRecords):
                    # a worker has kept it as a dead letter
                    continue
                self._note_first(place, record)
                # a record without a value removes a fact of the store in its key
                value = (record.value or record.key or b"").lower()
                # most records are of other stores: this look is quicker than reading them
                if record.offset < end and any(name in value for name in self._names):
                    stored.append(record)
                    self._memory_bytes += len(value) + RECORD_BYTES
            if self._memory_bytes > MAX_KEPT_BYTES:
                raise NotComparableError("the stores have more records than can be kept in memory")
            size = sum(len(record.value or b"") + RECORD_BYTES for record in records)
            self.read_records += len(records)
            self.read_bytes += size
            await asyncio.sleep(size / self._bytes_per_second)
        self._ends[place] = end

    async def _fetch(self, place: TopicPartition) -> tuple[list[Any], int]:
        try:
            fetched = await self._consumer.getmany(
                place, timeout_ms=_WAIT_MS, max_records=SLICE_RECORDS
            )
            position = await self._consumer.position(place)
        except OffsetOutOfRangeError:
            raise NotComparableError(
                f"records of {place.topic}/{place.partition} were deleted while they were read"
            ) from None
        except KafkaError as error:
            raise BrokerUnavailableError(f"the topics cannot be read now: {error!r}") from error
        return fetched.get(place, []), position

    def _note_first(self, place: TopicPartition, record: Any) -> None:
        if place in self._first_times:
            return
        # 1: the time is the broker's, of when it took the record
        append_time = -1 if record.timestamp_type != 1 else record.timestamp * 1000
        self._first_times[place] = append_time

    def first_append_time(self, place: TopicPartition) -> int | None:
        """Return the append time of the first record read of a partition, µs; None without one.

        Raises:
            NotComparableError: the records do not carry the broker's time.
        """
        if place not in self._first_times:
            return None
        append_time = self._first_times[place]
        if append_time < 0:
            raise NotComparableError(f"records of {place.topic} do not carry the broker's time")
        return append_time

    def of_store(self, place: TopicPartition, store_id: str) -> list[Any]:
        """Return the records of a partition that are kept and name a store."""
        dashed = store_id.encode()
        names = (dashed, dashed.replace(b"-", b""))
        return [
            record
            for record in self._records.get(place, ())
            if any(name in (record.value or record.key or b"").lower() for name in names)
        ]

    async def bounds(self, partition: TopicPartition) -> tuple[int, int]:
        """Return offset 0 and the end of what was read: all that counts is in memory."""
        return 0, self._ends.get(partition, 0)

    async def records(self, partition: TopicPartition, first: int, end: int) -> AsyncIterator[Any]:
        """Yield the kept records in `[first, end)`."""
        stored = self._records.get(partition, [])
        for index in range(bisect_left(stored, first, key=attrgetter("offset")), len(stored)):
            if stored[index].offset >= end:
                return
            yield stored[index]
