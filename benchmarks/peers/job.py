"""The job of every peer, and the check of its result.

The job: read the first N records of `store-status`, keep each store's polls as a set (one poll an
instant, `inactive` wins) in durable state with a changelog, and stop the clock when all of it is
where it would survive the loss of the machine's disk. Afterwards the sets of a sample of stores
are compared with those that a plain reading of the topic gives.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import zlib
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from aiokafka import AIOKafkaConsumer

from stream_app.contracts.polls import decode_packed_polls
from stream_app.contracts.topics import STORE_STATUS
from stream_app.domain.polls import packed_set
from stream_app.kafka.clients import connection
from stream_app.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.measured_run import Usage

SAMPLE_EVERY: Final = 37
"""The number of stores of which one is checked: of 4,559 stores about 120 (`is_checked`)."""


@dataclass(frozen=True, slots=True)
class Job:
    """One run of a peer, whose environment has the product's settings: how to log in is there.

    Attributes:
        bootstrap: `HOST:PORT` of the broker.
        shape: `bulk`, up to 512 polls a record, or `live`, one poll a record.
        records: how many there are in the topic, all partitions together.
        output: the file that the outcome goes to.
        options: the options of this peer alone that are on, such as `exactly-once`.
    """

    bootstrap: str
    shape: str
    records: int
    output: Path
    options: frozenset[str] = frozenset()

    @property
    def connection(self) -> dict[str, Any]:
        """Return the arguments of any aiokafka client."""
        return connection(Settings.from_environment(os.environ, kafka_bootstrap=self.bootstrap))

    def done(self, seconds: float, checked: int, **further: float) -> None:
        """Write what the run took; `checked` stores were right."""
        self._write({"seconds": seconds, "checked_stores": checked, **further})

    def not_run(self, reason: str) -> None:
        """Write why there was no run, and what to install."""
        self._write({"not_run": reason})

    def _write(self, content: dict[str, Any]) -> None:
        self.output.write_text(json.dumps(content), encoding="utf-8")


def job_of_arguments(description: str, options: Sequence[str] = ()) -> Job:
    """Read the command line that all peers share, and the options of one peer alone."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--shape", choices=("bulk", "live"), required=True)
    parser.add_argument("--records", type=int, required=True)
    parser.add_argument("--json", type=Path, required=True)
    for option in options:
        parser.add_argument(f"--{option}", action="append_const", dest="on", const=option)
    given = parser.parse_args()
    on = frozenset(given.on or ()) if options else frozenset()
    return Job(given.bootstrap, given.shape, given.records, given.json, on)


def is_checked(store_id: str) -> bool:
    """Return True if a store is in the sample: every language computes the same CRC-32 of an id."""
    return zlib.crc32(store_id.encode()) % SAMPLE_EVERY == 0


async def expected(job: Job) -> dict[str, list[int]]:
    """Read the polls of the sampled stores from the topic: `µs << 1 | active`, sorted."""
    by_store: defaultdict[str, list[int]] = defaultdict(list)
    async for value in values(job):
        batch, _ = decode_packed_polls(value)
        if is_checked(batch.store_id):
            by_store[batch.store_id] += batch.polls
    return {store_id: list(packed_set(polls)) for store_id, polls in by_store.items()}


async def values(job: Job) -> Any:
    """Yield the values of the topic's records up to the ends that it has now."""
    # without a group it is assigned all partitions of the topic, once it has started
    consumer = AIOKafkaConsumer(
        STORE_STATUS.name,
        **job.connection,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        partitions = list(consumer.assignment())
        ends = await consumer.end_offsets(partitions)
        left = {partition for partition in partitions if ends[partition]}
        while left:
            for partition, records in (await consumer.getmany(timeout_ms=500)).items():
                for record in records:
                    if record.offset < ends[partition]:
                        yield record.value
                if records[-1].offset >= ends[partition] - 1:
                    left.discard(partition)
    finally:
        await consumer.stop()


def record_outcome(job: Job, usage: Usage, outcome: Path) -> None:
    """Check the polls that a program of its own has written, and write what its run took.

    Args:
        job: the job.
        usage: the resources of the whole program.
        outcome: its file, with the seconds and the polls of the sampled stores. The resources that
            it counts by itself, without its own start, stand for those of the whole program.
    """
    result = json.loads(outcome.read_text(encoding="utf-8"))
    counted = {name: result[name] for name in ("cpu", "written_bytes") if name in result}
    job.done(result["seconds"], check(job, result["stores"]), **usage.figures() | counted)


def check(job: Job, result: Mapping[str, list[int]]) -> int:
    """Compare the polls of the sampled stores with those on the topic.

    Returns:
        The number of compared stores.

    Raises:
        SystemExit: the polls of a store differ.
    """
    polls = asyncio.run(expected(job))
    wrong = [store_id for store_id in polls if sorted(result.get(store_id, [])) != polls[store_id]]
    if wrong or not polls:
        raise SystemExit(f"{len(wrong)} of {len(polls)} checked stores differ, such as {wrong[:2]}")
    return len(polls)
