"""Quix Streams: per-store state in RocksDB with a changelog."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.peers.environment import run_app
from benchmarks.peers.job import SAMPLE_EVERY, job_of_arguments, record_outcome

FOLDER = Path(__file__).parent


def main() -> None:
    """Run the application to the end of the topic, and check the stored polls."""
    job = job_of_arguments(__doc__ or "")
    with TemporaryDirectory(prefix="store-uptime-peer-") as folder:
        output = Path(folder) / "out.json"
        usage = run_app(
            FOLDER, job.bootstrap, job.shape, str(job.records), str(SAMPLE_EVERY), str(output)
        )
        record_outcome(job, usage, output)


main()
