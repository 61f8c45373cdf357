"""Reads and decodes every record and stores nothing, which is the limit for Python with aiokafka.

Tuned: `getmany` returns all records of a fetch, as the client's documentation advises.
"""

from __future__ import annotations

import asyncio
import time

import orjson

from benchmarks.measured_run import usage_of_this_process
from benchmarks.peers.job import Job, job_of_arguments, record_values
from stream_app.contracts.packed_polls import decode_packed_batch, is_packed_batch


async def read(job: Job) -> tuple[int, int]:
    """Return the records and polls of the topic."""
    records = polls = 0
    async for value in record_values(job):
        records += 1
        if is_packed_batch(value):
            polls += len(decode_packed_batch(value)[0].polls)
        else:
            polls += len(orjson.loads(value).get("polls", ())) or 1
    return records, polls


def main() -> None:
    """Measure one reading."""
    job = job_of_arguments(__doc__ or "")
    began = time.perf_counter()
    records, polls = asyncio.run(read(job))
    seconds = time.perf_counter() - began
    if records != job.records:
        raise SystemExit(f"{records} records where {job.records} were promised")
    job.write_figures(seconds, 0, polls=polls, **usage_of_this_process().figures())


main()
