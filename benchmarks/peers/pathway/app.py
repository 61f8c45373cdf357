"""Reads, stores and writes polls in the environment of requirements.lock; see README.md."""

from __future__ import annotations

import json
import resource
import sys
import time
from array import array
from bisect import bisect_left
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pathway as pw

from benchmarks.peers.python.store_status import SPAN, connection, is_checked, read, union


class PollSet(pw.BaseCustomAccumulator):
    """The polls of a store in one bucket, 8 bytes each."""

    def __init__(self, polls: array[int]) -> None:
        self.polls = polls

    @classmethod
    def from_row(cls, row: list[Any]) -> PollSet:
        """Return the polls of one record."""
        return cls(array("q", row[0]))

    def update(self, other: PollSet) -> None:
        """Add the polls of another record."""
        self.polls = array("q", union(self.polls, other.polls))

    def compute_result(self) -> bytes:
        """Return the polls as bytes."""
        return self.polls.tobytes()


def main() -> None:
    """Run with the arguments BOOTSTRAP SHAPE GROUP SAMPLE_EVERY OUT."""
    bootstrap, shape, group, sample_every, output = sys.argv[1:]
    span = SPAN[shape]
    started = 0.0
    sample: dict[str, bytes] = {}

    @pw.udf(deterministic=True)
    def split_by_bucket(data: bytes) -> list[tuple[str, bytes]]:
        nonlocal started
        started = started or time.perf_counter()
        name, polls = read(data)
        parts = []
        start = 0
        while start < len(polls):
            bucket = (polls[start] >> 1) // span
            end = bisect_left(polls, (bucket + 1) * span << 1, start)
            parts.append((f"{name}/{bucket}", polls[start:end].tobytes()))
            start = end
        return parts

    def on_change(key: Any, row: dict[str, Any], time: int, is_addition: bool) -> None:  # noqa: ARG001
        name = row["bucket"].partition("/")[0]
        if is_addition and is_checked(name, int(sample_every)):
            sample[row["bucket"]] = row["polls"]

    records = pw.io.kafka.read(
        connection(bootstrap) | {"group.id": group, "auto.offset.reset": "earliest"},
        "store-status",
        format="raw",
        mode="static",
        autogenerate_key=True,
        name="store-status",
    )
    split = records.select(part=split_by_bucket(pw.this.data)).flatten(pw.this.part)
    named = split.select(bucket=pw.this.part[0], data=pw.this.part[1])
    buckets = named.groupby(named.bucket).reduce(
        named.bucket, polls=pw.reducers.udf_reducer(PollSet)(named.data)
    )
    pw.io.subscribe(buckets, on_change)
    with TemporaryDirectory(prefix="store-uptime-pathway-") as folder:
        backend = pw.persistence.Backend.filesystem(folder)
        pw.run(
            persistence_config=pw.persistence.Config(backend, snapshot_interval_ms=5000),
            monitoring_level=pw.MonitoringLevel.NONE,
        )
        seconds = time.perf_counter() - started
        usage = resource.getrusage(resource.RUSAGE_SELF)
    stores: dict[str, list[int]] = {}
    for bucket, polls in sample.items():
        stores.setdefault(bucket.partition("/")[0], []).extend(array("q", polls))
    cpu = usage.ru_utime + usage.ru_stime
    Path(output).write_text(json.dumps({"seconds": seconds, "cpu": cpu, "stores": stores}))


main()
