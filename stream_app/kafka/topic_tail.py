"""A reader that follows whole topics, without a consumer group, and knows how far it is."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from stream_app.errors import RecordError
from stream_app.kafka.clients import safe_consumer, start, unavailable
from stream_app.kafka.safe_records import readable
from stream_app.periodic import PeriodicTask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from stream_app.contracts.topics import TopicSpec
    from stream_app.kafka.offsets import EndOffsetFetcher
    from stream_app.settings import Settings

log = logging.getLogger(__name__)

_RETRY_SECONDS: Final = 1.0

_FETCH_MS: Final = 500
"""Milliseconds after which a read without a record ends: the position may be behind a marker."""

_TROUBLE_FAILURES: Final = 2
"""Reads in a row that fail before the tail says that it cannot read."""

_OF_THE_RECORD: Final = (
    RecordError,
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)
"""Errors that a record's content causes; other ones, such as a full disk, may pass."""


class TopicTail:
    """Hands every record of some topics to `handle`, in the order of each partition.

    Args:
        settings: how to reach the broker.
        specs: the topics, all partitions of each.
        end_offset_fetcher: reads the end offsets of the topics.
        handle: called with every record that can be read; raises `RecordError` for one that
            cannot be used, which is a warning. A record may come again.
        from_beginning: False starts at the end as it is when `start` returns.
        on_round: called whenever all that had come is handled.
    """

    def __init__(
        self,
        settings: Settings,
        specs: Iterable[TopicSpec],
        end_offset_fetcher: EndOffsetFetcher,
        handle: Callable[[Any], None],
        *,
        from_beginning: bool = True,
        on_round: Callable[[], None] = lambda: None,
    ) -> None:
        self._on_round = on_round
        self._settings = settings
        self._end_offset_fetcher = end_offset_fetcher
        self._handle = handle
        self._from_beginning = from_beginning
        self._partitions = [
            TopicPartition(spec.name, partition)
            for spec in specs
            for partition in range(spec.partitions(settings))
        ]
        self._consumer: Any = None
        self._next_offsets: dict[TopicPartition, int] = {}
        self._moved = asyncio.Condition()
        self._failures = 0
        self._trouble: str | None = None
        # no pause: a read waits for records by itself
        self._task = PeriodicTask("topic-tail", 0.0, self._read, pause_first=False)

    @property
    def trouble(self) -> str | None:
        """Return one line about why the topics cannot be read now; None if they can."""
        return self._trouble

    async def start(self) -> None:
        """Connect and begin to read.

        Raises:
            BrokerUnavailableError: no broker answers.
        """
        self._consumer = safe_consumer(
            self._settings,
            isolation_level="read_committed",
            auto_offset_reset="earliest" if self._from_beginning else "latest",
            max_partition_fetch_bytes=4_194_304,
        )
        await start(self._consumer, self._settings)
        try:
            self._consumer.assign(self._partitions)
            ask = (
                self._consumer.beginning_offsets
                if self._from_beginning
                else self._consumer.end_offsets
            )
            self._next_offsets = dict(await ask(self._partitions))
        except KafkaError as error:
            await self._consumer.stop()
            raise unavailable(self._settings, error) from error
        for partition, offset in self._next_offsets.items():
            self._consumer.seek(partition, offset)
        self._task.start()

    async def stop(self) -> None:
        """Stop reading and disconnect."""
        await self._task.stop()
        if self._consumer is not None:
            await self._consumer.stop()

    async def catch_up(self) -> None:
        """Wait until everything that is in the topics now has been handled.

        Raises:
            BrokerUnavailableError: no broker answers.
        """
        await self.wait_for(await self._end_offset_fetcher.fetch(self._partitions))

    async def wait_for(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Wait until all records below these offsets have been handled."""
        async with self._moved:
            await self._moved.wait_for(
                lambda: all(
                    self._next_offsets.get(partition, 0) >= offset
                    for partition, offset in offsets.items()
                )
            )

    async def _read(self) -> None:
        try:
            await self._read_once()
        except Exception as error:  # noqa: BLE001  whatever it is, the view must not stay behind
            self._failed(error)
            await asyncio.sleep(_RETRY_SECONDS)
        else:
            self._failures, self._trouble = 0, None
            self._on_round()

    async def _read_once(self) -> None:
        batches = await self._consumer.getmany(timeout_ms=_FETCH_MS, max_records=5000)
        try:
            for records in batches.values():
                for record in readable(records):
                    self._handle_record(record)
        except Exception:
            # records that were fetched and not handled are fetched again
            for partition, offset in self._next_offsets.items():
                self._consumer.seek(partition, offset)
            raise
        # the last record's offset would stay behind a transaction marker for ever
        positions = {
            partition: await self._consumer.position(partition) for partition in self._partitions
        }
        if positions != self._next_offsets:
            self._next_offsets = positions
            async with self._moved:
                self._moved.notify_all()

    def _handle_record(self, record: Any) -> None:
        try:
            self._handle(record)
        except _OF_THE_RECORD as error:
            place = (record.topic, record.partition, record.offset)
            if isinstance(error, RecordError):
                log.warning("%s/%d/%d is passed over: %s", *place, str(error)[:200])
            else:
                log.exception("%s/%d/%d is passed over: internal error", *place)

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        topics = ", ".join(sorted({partition.topic for partition in self._partitions}))
        reason = " ".join(f"{topics} cannot be read: {error!r}".split())
        log.warning("%s; trying again", reason)
        if self._failures >= _TROUBLE_FAILURES:
            self._trouble = reason[:400]
