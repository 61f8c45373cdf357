"""Describes the job of every peer, and checks its result.

The job is to read the first N records of `store-status`, and to store each store's polls as a set
in durable state with a changelog; of two polls at the same time `inactive` counts. The clock stops
when all polls would survive the loss of the machine's disk. Afterwards the sets of a sample of
stores are compared with the polls in the topic.
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
"""About one in so many stores is checked (`is_checked`): of 4,559 stores about 120."""


@dataclass(frozen=True, slots=True)
class Job:
    """One run of a peer. Its environment has the product's settings, with the login.

    Attributes:
        bootstrap: `HOST:PORT` of the broker.
        shape: `bulk`, up to 512 polls a record, or `live`, one poll a record.
        records: the number of records in the topic, all partitions together.
        output: the file for the result.
        options: the options of only this peer that are on, such as `exactly-once`.
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

    def write_figures(self, seconds: float, checked: int, **further: float) -> None:
        """Write the figures of the run; `checked` is the number of stores that were compared."""
        self._write({"seconds": seconds, "checked_stores": checked, **further})

    def write_not_run(self, reason: str) -> None:
        """Write the reason why there was no run, and what to install."""
        self._write({"not_run": reason})

    def _write(self, content: dict[str, Any]) -> None:
        self.output.write_text(json.dumps(content), encoding="utf-8")


def job_of_arguments(description: str, options: Sequence[str] = ()) -> Job:
    """Read the arguments that all peers have, and the options of only this peer."""
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
    """Return True if a store is in the sample, by the CRC-32 of its id, as in other languages."""
    return zlib.crc32(store_id.encode()) % SAMPLE_EVERY == 0


async def sampled_polls(job: Job) -> dict[str, list[int]]:
    """Read the polls of the sampled stores from the topic: `µs << 1 | active`, sorted."""
    by_store: defaultdict[str, list[int]] = defaultdict(list)
    async for value in record_values(job):
        batch, _ = decode_packed_polls(value)
        if is_checked(batch.store_id):
            by_store[batch.store_id] += batch.polls
    return {store_id: list(packed_set(polls)) for store_id, polls in by_store.items()}


async def record_values(job: Job) -> Any:
    """Yield the values of the topic's records up to its present end offsets."""
    # a consumer without a group gets all partitions of the topic at its start
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
    """Check the polls that a peer's own program has written, and write the figures of the run.

    Args:
        job: the job.
        usage: the resources of the whole program.
        outcome: its file, with the seconds and the polls of the sampled stores. Resources in it,
            which the program has counted without its start, replace those of `usage`.
    """
    result = json.loads(outcome.read_text(encoding="utf-8"))
    counted = {name: result[name] for name in ("cpu", "written_bytes") if name in result}
    job.write_figures(result["seconds"], check(job, result["stores"]), **usage.figures() | counted)


def check(job: Job, result: Mapping[str, list[int]]) -> int:
    """Compare the polls of the sampled stores with those on the topic.

    Returns:
        The number of compared stores.

    Raises:
        SystemExit: the polls of a store differ.
    """
    polls = asyncio.run(sampled_polls(job))
    wrong = [store_id for store_id in polls if sorted(result.get(store_id, [])) != polls[store_id]]
    if wrong or not polls:
        raise SystemExit(f"{len(wrong)} of {len(polls)} checked stores differ, such as {wrong[:2]}")
    return len(polls)
