"""The lag of this worker behind its source topics, looked up when the metrics are asked for."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from aiokafka import TopicPartition

from stream_app.contracts.topics import SOURCE_TOPICS
from stream_app.errors import BrokerUnavailableError
from stream_app.kafka.record_lookup import first_records
from stream_app.worker.metrics import SourceLag

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stream_app.kafka.offsets import EndOffsetFetcher
    from stream_app.settings import Settings
    from stream_app.worker.owned_partitions import OwnedPartitions

log = logging.getLogger(__name__)

ANSWER_SECONDS: Final = 3.0
"""Seconds that a request for the metrics waits for the broker; then it has no lag."""

_US_PER_SECOND: Final = 1_000_000


class SourceLags:
    """The lag of every owned source partition.

    The end offsets are asked for at each look. Only where records wait is the oldest one of them
    read, for the time at which the broker took it.

    Args:
        settings: how to reach the broker.
        owned_partitions: the partitions that this worker owns, with their applied offsets.
        end_offset_fetcher: reads the end offsets of the source topics.
        clock: the wall clock in µs.
    """

    def __init__(
        self,
        settings: Settings,
        owned_partitions: OwnedPartitions,
        end_offset_fetcher: EndOffsetFetcher,
        clock: Callable[[], int],
    ) -> None:
        self._settings = settings
        self._owned_partitions = owned_partitions
        self._end_offset_fetcher = end_offset_fetcher
        self._clock = clock
        self._lags: dict[TopicPartition, SourceLag] = {}
        self._append_times: dict[TopicPartition, tuple[int, int]] = {}

    def lags(self) -> Mapping[TopicPartition, SourceLag]:
        """Return the lags that were read last; none if the broker did not answer."""
        return self._lags

    async def update(self) -> None:
        """Read the lags again; if the broker does not answer in time, there are none."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                lags = await self._look_up()
        except (BrokerUnavailableError, TimeoutError) as error:
            log.debug("the lag is not known now: %s", error or "no answer in time")
            lags = {}
        self._lags = lags

    async def _look_up(self) -> dict[TopicPartition, SourceLag]:
        applied = self._applied()
        ends = await self._end_offset_fetcher.fetch(applied) if applied else {}
        # records that were applied while the broker answered may lie behind the end of that answer
        records = {place: max(ends[place] - applied[place], 0) for place in applied}
        waiting = {place: applied[place] for place, count in records.items() if count}
        append_times = await self._append_times_of(waiting)
        now = self._clock()
        return {
            place: SourceLag(count, _age(now, append_times.get(place)) if count else 0.0)
            for place, count in records.items()
        }

    def _applied(self) -> dict[TopicPartition, int]:
        owned = [
            partition
            for number in range(self._settings.partitions)
            if (partition := self._owned_partitions.get(number)) is not None
        ]
        return {
            TopicPartition(spec.name, partition.number): partition.applied(spec.name)
            for partition in owned
            for spec in SOURCE_TOPICS
        }

    async def _append_times_of(
        self, waiting: Mapping[TopicPartition, int]
    ) -> dict[TopicPartition, int]:
        """Return the append time, µs, of each partition's first record at or behind an offset."""
        # a partition that stands still is read once
        self._append_times = {
            place: known
            for place, known in self._append_times.items()
            if waiting.get(place) == known[0]
        }
        for spec in SOURCE_TOPICS:
            offsets = {
                partition: offset
                for (topic, partition), offset in waiting.items()
                if topic == spec.name and (topic, partition) not in self._append_times
            }
            try:
                # offsets that no record has, at the end of a partition, have no time either
                async with asyncio.timeout(ANSWER_SECONDS / (len(SOURCE_TOPICS) + 1)):
                    records = await first_records(self._settings, spec.name, offsets)
            except TimeoutError:
                continue
            for partition, record in records.items():
                self._append_times[TopicPartition(spec.name, partition)] = (
                    offsets[partition],
                    record.timestamp * 1000,
                )
        return {place: append_time for place, (_, append_time) in self._append_times.items()}


def _age(now: int, append_time: int | None) -> float | None:
    return None if append_time is None else max(now - append_time, 0) / _US_PER_SECOND
