"""Read and decode every record, keep nothing: nobody in Python can be quicker with aiokafka.

Tuned: `getmany` hands out what one fetch brought, as the client's documentation advises.
"""

from __future__ import annotations

import asyncio
import time

import orjson

from benchmarks.measured_run import usage_of_this_process
from benchmarks.peers.job import Job, job_of_arguments, values


async def read(job: Job) -> tuple[int, int]:
    """Return the records and polls of the topic."""
    records = polls = 0
    async for value in values(job):
        content = orjson.loads(value)
        records += 1
        polls += len(content.get("polls", ())) or 1
    return records, polls


def main() -> None:
    """Measure one reading."""
    job = job_of_arguments(__doc__ or "")
    began = time.perf_counter()
    records, polls = asyncio.run(read(job))
    seconds = time.perf_counter() - began
    if records != job.records:
        raise SystemExit(f"{records} records where {job.records} were promised")
    job.done(seconds, 0, polls=polls, **usage_of_this_process().figures())


main()
