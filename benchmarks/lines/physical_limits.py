"""Measures the physical limits of this machine: memory, disk, and parsing on one core."""

from __future__ import annotations

import asyncio
import os
import time
from itertools import islice
from typing import TYPE_CHECKING, Final

import orjson

from benchmarks.inputs import STORES, store_ids
from benchmarks.line import Figure, Line
from benchmarks.pings import poll_records
from benchmarks.processes import MEGABYTE
from stream_app.contracts.polls import encode_poll_batch
from stream_app.domain.timestamps import HOUR

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from benchmarks.bench import Bench

MEMORY_BYTES: Final = 256 << 20
"""The size of a copy in memory: more than the caches of a processor."""

DISK_BYTES: Final = 512 << 20
BLOCK_BYTES: Final = 1 << 20
RECORDS: Final = 100_000
BATCHES: Final = 400
BATCH_POLLS: Final = 512
_ROUNDS: Final = 5


async def measure(bench: Bench) -> Mapping[str, float]:
    """Measure every limit; nothing else of the benchmarks runs."""
    bench.say("memory, disk, and parsing on one core")
    return await asyncio.to_thread(_limits, bench.workspace)


def _limits(folder: Path) -> dict[str, float]:
    records = [value for _, value in islice(poll_records(store_ids(STORES), 30), RECORDS)]
    store_id = store_ids(1)[0]
    polls = [(number * HOUR, number % 10 > 0) for number in range(BATCH_POLLS)]
    batches = [encode_poll_batch(store_id, polls)] * BATCHES
    single, batch = parse_seconds(records), parse_seconds(batches)
    return {
        "memory": copy_rate(MEMORY_BYTES) / MEGABYTE,
        "disk": write_rate(folder, DISK_BYTES) / MEGABYTE,
        "parse_single": sum(map(len, records)) / single / MEGABYTE,
        "parse_single_polls": len(records) / single,
        "parse_batch": sum(map(len, batches)) / batch / MEGABYTE,
        "parse_batch_polls": len(batches) * BATCH_POLLS / batch,
    }


def copy_rate(size: int) -> float:
    """Return the bytes a second that one core copies in memory; the quickest of some rounds."""
    source, target = memoryview(bytearray(size)), memoryview(bytearray(size))

    def copy() -> None:
        target[:] = source

    copy()  # the system allocates memory pages only at the first access
    return size / _quickest(copy, time.perf_counter)


def write_rate(folder: Path, size: int) -> float:
    """Return the bytes a second that are written in order, with a sync at the end."""
    path = folder / "written"
    block = os.urandom(BLOCK_BYTES)
    begin = time.perf_counter()
    with path.open("wb", buffering=0) as file:
        for _ in range(size // BLOCK_BYTES):
            file.write(block)
        os.fsync(file.fileno())
    seconds = time.perf_counter() - begin
    path.unlink()
    return size / seconds


def parse_seconds(values: Sequence[bytes]) -> float:
    """Return the CPU seconds in which orjson parses some records; the quickest of some rounds."""

    def parse() -> None:
        for value in values:
            orjson.loads(value)

    return _quickest(parse, time.thread_time)


def _quickest(work: Callable[[], None], clock: Callable[[], float]) -> float:
    rounds = []
    for _ in range(_ROUNDS):
        begin = clock()
        work()
        rounds.append(clock() - begin)
    return min(rounds)


LINE: Final = Line(
    name="limits",
    title="the physical limits of this machine",
    figures=(
        Figure("memory", "copied in memory by one core", "MB/s"),
        Figure("disk", "written to the disk, in order, with a sync at the end", "MB/s"),
        Figure("parse_single", "records of one poll, parsed by orjson on one core", "MB/s"),
        Figure("parse_single_polls", "- that is", "polls/s"),
        Figure("parse_batch", f"batches of {BATCH_POLLS} polls as JSON, the same", "MB/s"),
        Figure("parse_batch_polls", "- that is", "polls/s"),
    ),
    measure=measure,
)
