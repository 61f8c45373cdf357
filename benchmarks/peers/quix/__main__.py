"""Quix Streams: per-store state in RocksDB with a changelog."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.peers.environment import python_of, run
from benchmarks.peers.job import SAMPLE_EVERY, check, job_of_arguments

FOLDER = Path(__file__).parent


def main() -> None:
    """Run the application to the end of the topic, and check what it kept."""
    job = job_of_arguments(__doc__ or "")
    with TemporaryDirectory(prefix="store-uptime-peer-") as folder:
        output = Path(folder) / "out.json"
        usage = run(
            [
                *(str(python_of(FOLDER)), str(FOLDER / "app.py"), job.bootstrap, job.shape),
                *(str(job.records), str(SAMPLE_EVERY), str(output)),
            ]
        )
        result = json.loads(output.read_text(encoding="utf-8"))
    figures = usage.figures() | {"cpu": result["cpu"]}
    job.done(result["seconds"], check(job, result["stores"]), **figures)


main()
