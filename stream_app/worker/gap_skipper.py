"""Accounts for source offsets that no record was handed out for.

A report waits until the next offset to apply has reached the end offset of the log. An offset
without a record is never handed out, so a report would wait for it until its deadline: a partition
that rests below its end offset is inspected. And nothing is applied beyond offsets that are not
known to be empty: a record that was missed is read again, and a lost one is reported.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from aiokafka import TopicPartition

from stream_app.contracts.dead_letters import DeadLetter
from stream_app.errors import BrokerUnavailableError
from stream_app.periodic import PeriodicTask
from stream_app.worker.facts.keys import LOST_KEY
from stream_app.worker.facts.partition_records import LostRange, encode_lost

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_app.kafka.offset_gaps import OffsetGaps
    from stream_app.kafka.offsets import EndOffsetFetcher
    from stream_app.worker.metrics import WorkerMetrics
    from stream_app.worker.owned_partitions import OwnedPartition, OwnedPartitions
    from stream_app.worker.publisher import Publisher

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 0.5
"""Seconds after which a partition that is behind and does not move is inspected."""


class LostInput:
    """Reports lost records: in the log, as a dead letter, and in all later reports.

    Args:
        publisher: sends the dead letters.
        metrics: counts the lost offsets.
        clock: the wall clock in µs.
    """

    def __init__(
        self,
        publisher: Publisher,
        metrics: WorkerMetrics,
        clock: Callable[[], int],
    ) -> None:
        self._publisher = publisher
        self._metrics = metrics
        self._clock = clock

    async def report(self, owned: OwnedPartition, topic: str, first: int, end: int) -> None:
        """Report that the records `[first, end)` of a topic are lost, unless that was reported."""
        for known in owned.lost_ranges:
            if known.topic == topic and known.first <= first < known.end:
                # the log may have lost more since
                first = known.end
        if first >= end:
            return
        reason = (
            f"lost: the records of {topic}/{owned.number} from offset {first} to {end - 1} were "
            "deleted from the log before a worker had applied them"
        )
        log.error("%s; reports of this partition say so", reason)
        source: dict[str, str | int] = {
            "topic": topic,
            "partition": owned.number,
            "offset": first,
        }
        # the dead letter first: a crash in between sends it once more, under the same key
        await asyncio.shield(
            await self._publisher.publish_dead_letter(DeadLetter(source, reason, None))
        )
        if owned.revoked.is_set():
            return
        owned.lost_ranges.append(LostRange(topic, owned.number, first, end, self._clock()))
        owned.put(LOST_KEY, encode_lost(owned.lost_ranges))
        self._metrics.records_lost(topic, end - first)


class GapSkipper:
    """Moves resting partitions over offsets without a record, and checks gaps before records.

    Args:
        owned_partitions: knows the position of each partition, and skips the gaps.
        end_offset_fetcher: reads the end offsets of the source topics.
        gaps: inspects ranges of offsets.
        lost_input: reports lost records.
    """

    def __init__(
        self,
        owned_partitions: OwnedPartitions,
        end_offset_fetcher: EndOffsetFetcher,
        gaps: OffsetGaps,
        lost_input: LostInput,
    ) -> None:
        self._owned_partitions = owned_partitions
        self._end_offset_fetcher = end_offset_fetcher
        self._gaps = gaps
        self._lost_input = lost_input
        self._last_idle_offsets: dict[TopicPartition, int] = {}
        self._task = PeriodicTask("gap-skipper", LOOK_SECONDS, self.skip_gaps)

    async def start(self) -> None:
        """Start to inspect.

        Raises:
            BrokerUnavailableError: no broker answers.
        """
        await self._gaps.start()
        self._task.start()

    async def stop(self) -> None:
        """Stop inspecting."""
        await self._task.stop()
        await self._gaps.stop()

    async def skip_gaps(self) -> None:
        """Move every partition over a gap at which it has stood still since the last call.

        Raises:
            BrokerUnavailableError: no broker answers.
        """
        idle = self._owned_partitions.idle_offsets()
        resting = {
            p: offset for p, offset in idle.items() if self._last_idle_offsets.get(p) == offset
        }
        self._last_idle_offsets = idle
        if not resting:
            return
        ends = await self._end_offset_fetcher.fetch(resting)
        behind = {p: (offset, ends[p]) for p, offset in resting.items() if offset < ends[p]}
        if not behind:
            return
        for partition, gap in (await self._gaps.inspect(behind)).items():
            first, end = behind[partition]
            owned = self._owned_partitions.get(partition.partition)
            if owned is None:
                continue
            if gap.lost_end > first:
                await self._lost_input.report(owned, partition.topic, first, gap.lost_end)
            reached = end if gap.next_offset >= end else gap.lost_end
            if reached > first:
                self._owned_partitions.skip_gap(partition, first, reached)

    async def find_missed_record(self, owned: OwnedPartition, topic: str, first: int) -> int | None:
        """Find a record that was missed before another one.

        Args:
            owned: the partition.
            topic: the source topic.
            first: the offset of the record that was handed out.

        Returns:
            the offset of a record that has to be read first; None if there is none.
        """
        gap = owned.gap_before(topic, first)
        partition = TopicPartition(topic, owned.number)
        while gap is not None:
            try:
                inspected = (await self._gaps.inspect({partition: gap}))[partition]
            except BrokerUnavailableError as error:
                log.warning("%s/%d waits before offset %d: %s", topic, owned.number, first, error)
                await asyncio.sleep(LOOK_SECONDS)
                if owned.revoked.is_set():
                    return None
                continue
            if owned.revoked.is_set():
                return None
            if inspected.lost_end > gap[0]:
                await self._lost_input.report(owned, topic, gap[0], inspected.lost_end)
            return None if inspected.next_offset >= first else inspected.next_offset
        return None
