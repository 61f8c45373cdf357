"""Counts the table writes of a poll after weeks of polls; needs neither a clock nor Kafka."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from benchmarks.line import Figure, Line
from stream_app.domain.poll_buckets import BucketLayout
from stream_app.domain.polls import EMPTY, poll_set
from stream_app.domain.timestamps import DAY, HOUR, MINUTE

if TYPE_CHECKING:
    from array import array
    from collections.abc import Mapping

    from benchmarks.bench import Bench
    from stream_app.domain.poll_buckets import Bucket

DAYS: Final = 35
RETENTION: Final = 400 * DAY
START: Final = 1_700_000_000_000_000


@dataclass(frozen=True, slots=True)
class WriteCost:
    """Average writes and bytes of one poll."""

    writes: float
    bytes: float


def write_cost(interval: int, days: int = DAYS) -> WriteCost:
    """Compute the average cost of a poll of a store that sends one every `interval` µs."""
    layout = BucketLayout(RETENTION)
    table: dict[Bucket, array[int]] = {}
    writes = written = pings = 0
    for instant in range(START, START + days * DAY, interval):
        batch = poll_set([(instant, pings % 20 > 0)])
        for write in layout.writes(batch, lambda bucket: table.get(bucket, EMPTY)):
            table[write.bucket] = write.polls
            writes += 1
            written += len(write.polls) * write.polls.itemsize
        pings += 1
    return WriteCost(writes / pings, written / pings)


async def measure(bench: Bench) -> Mapping[str, float]:
    """Measure a store with a ping a minute, and one with a ping an hour."""
    bench.say(f"pings of {DAYS} days")
    minutes, hours = write_cost(MINUTE), write_cost(HOUR)
    return {
        "minute_writes": minutes.writes,
        "hour_writes": hours.writes,
        "minute_bytes": minutes.bytes,
        "hour_bytes": hours.bytes,
        "ratio": minutes.writes / hours.writes,
    }


LINE: Final = Line(
    name="write-cost",
    title=f"what a ping writes, {DAYS} days of them",
    figures=(
        Figure("minute_writes", "table writes, a ping a minute", "a ping"),
        Figure("hour_writes", "table writes, a ping an hour", "a ping"),
        Figure("ratio", "a minute's to an hour's", "", target_max=1.05),
        Figure("minute_bytes", "bytes of polls written, a ping a minute", "a ping"),
        Figure("hour_bytes", "bytes of polls written, a ping an hour", "a ping"),
    ),
    measure=measure,
    max_runs=1,
)
