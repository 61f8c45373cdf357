"""Measures live pings of many stores through Kafka, one poll in each record, one worker."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from benchmarks.bench import VISIBLE_SECONDS
from benchmarks.inputs import STORES, store_ids
from benchmarks.line import Figure, Line
from benchmarks.pings import poll_records, produce_backlog
from benchmarks.processes import CpuMeter
from benchmarks.quantiles import quantile
from benchmarks.watermarks import Watermarks
from stream_app.contracts.topics import STORE_STATUS
from stream_app.kafka.clients import producer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from aiokafka import TopicPartition

    from benchmarks.bench import Bench
    from benchmarks.deployment import Deployment
    from benchmarks.watermarks import Advance

BACKLOG_MINUTES: Final = 66
"""Minutes of polls in the backlog: more than 300,000 records of all stores."""

PACE: Final = 5_000
PACED_SECONDS: Final = 15
_TICK: Final = 0.005


async def measure(bench: Bench) -> Mapping[str, float]:
    """Measure a backlog that a new worker drains, then a steady load on the same deployment."""
    stores = store_ids(STORES)
    async with (
        bench.deployment(worker=False, api=False) as product,
        Watermarks(product.settings) as watermarks,
    ):
        bench.say("producing the backlog")
        written = await produce_backlog(product.settings, poll_records(stores, BACKLOG_MINUTES))
        bench.say(f"draining {written:,} records")
        await product.worker.start()
        drained, cpu = await product.while_running(
            _drain(product, watermarks), VISIBLE_SECONDS, "the backlog visible"
        )
        figures = {"drain_rate": written / drained, "drain_records": float(written)}
        figures |= {f"drain_{name}": seconds / drained for name, seconds in cpu.items()}
        figures |= {
            f"{name}_per_poll": size / written for name, size in product.bytes_on_disk().items()
        }
        bench.say(f"{PACE:,} polls/s for {PACED_SECONDS} s")
        figures |= await product.while_running(
            _paced(product, watermarks, stores), VISIBLE_SECONDS, "the steady load visible"
        )
    return figures


async def _drain(product: Deployment, watermarks: Watermarks) -> tuple[float, dict[str, float]]:
    """Return the seconds from the first owned partition to the last visible poll, and the CPU."""
    partitions = range(product.settings.partitions)
    # an owner publishes its watermarks before it has applied anything
    await watermarks.reached({(STORE_STATUS.name, partition): 0 for partition in partitions})
    cpu = CpuMeter(product.pids("worker", "broker"))
    owned = watermarks.advances[0].at
    return await watermarks.caught_up() - owned, cpu.figures()


@dataclass(frozen=True, slots=True)
class AcknowledgedRecord:
    """A record that the broker has acknowledged, with the time (`perf_counter`)."""

    at: float
    partition: TopicPartition
    offset: int


async def _paced(
    product: Deployment, watermarks: Watermarks, stores: Sequence[str]
) -> dict[str, float]:
    acknowledged: list[AcknowledgedRecord] = []
    cpu = CpuMeter(product.pids("worker", "broker"))
    records = poll_records(stores, PACE * PACED_SECONDS // len(stores) + 1)
    client = producer(product.settings)
    await client.start()
    begin = time.perf_counter()
    try:
        await _send_at_pace(client, records, acknowledged)
        await client.flush()
        seconds = time.perf_counter() - begin
    finally:
        await client.stop()
    await watermarks.caught_up()
    delays = [1000 * delay for delay in visible_delays(acknowledged, watermarks.advances)]
    return {
        "paced_rate": len(acknowledged) / seconds,
        "visible_p50": quantile(delays, 0.5),
        "visible_p99": quantile(delays, 0.99),
        "visible_longest": max(delays),
        **{f"paced_{name}": cpu_seconds / seconds for name, cpu_seconds in cpu.figures().items()},
    }


async def _send_at_pace(
    client: Any, records: Iterator[tuple[str, bytes]], acknowledged: list[AcknowledgedRecord]
) -> None:
    begin = time.perf_counter()
    sent = 0
    while (now := time.perf_counter()) < begin + PACED_SECONDS:
        due = int((now - begin) * PACE)
        for _ in range(due - sent):
            store_id, value = next(records)
            future = await client.send(STORE_STATUS.name, value, store_id.encode())
            future.add_done_callback(partial(_record_acknowledgement, acknowledged))
        sent = due
        await asyncio.sleep(_TICK)


def _record_acknowledgement(
    acknowledged: list[AcknowledgedRecord], future: asyncio.Future[Any]
) -> None:
    record = future.result()
    partition = (record.topic, record.partition)
    acknowledged.append(AcknowledgedRecord(time.perf_counter(), partition, record.offset))


def visible_delays(
    acknowledged: Sequence[AcknowledgedRecord], advances: Sequence[Advance]
) -> list[float]:
    """Return the seconds from each record's acknowledgement until a watermark has passed it.

    Args:
        acknowledged: the records.
        advances: the watermarks in the order in which they were read; they cover all records.
    """
    times: defaultdict[TopicPartition, list[float]] = defaultdict(list)
    offsets: defaultdict[TopicPartition, list[int]] = defaultdict(list)
    for advance in advances:
        times[advance.partition].append(advance.at)
        offsets[advance.partition].append(advance.applied)
    return [
        # the watermark may be read before the acknowledgement
        max(
            0.0, times[each.partition][bisect_right(offsets[each.partition], each.offset)] - each.at
        )
        for each in acknowledged
    ]


LINE: Final = Line(
    name="kafka-pings",
    title="live pings of 4,559 stores from Kafka, one poll a record, one worker",
    figures=(
        Figure("drain_rate", "a backlog of 300,000 drained", "polls/s", target_min=200_000),
        Figure("drain_cpu_worker", "- CPU of the worker", "cores"),
        Figure("drain_cpu_broker", "- CPU of the broker", "cores"),
        Figure("paced_rate", "a steady load", "polls/s"),
        Figure("visible_p50", "- visible after the acknowledgement, half", "ms"),
        Figure(
            "visible_p99", "- visible after the acknowledgement, 99 of 100", "ms", target_max=20
        ),
        Figure("visible_longest", "- the longest", "ms"),
        Figure("paced_cpu_worker", "- CPU of the worker", "cores"),
        Figure("paced_cpu_broker", "- CPU of the broker", "cores"),
        Figure("paced_cpu_load", "- CPU of the load", "cores"),
        Figure("source_bytes_per_poll", "disk: the polls' topic", "bytes/poll"),
        Figure("changelog_bytes_per_poll", "disk: the changelog, before compaction", "bytes/poll"),
    ),
    measure=measure,
)
