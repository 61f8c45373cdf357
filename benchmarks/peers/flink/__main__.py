"""Apache Flink: DataStream, RocksDB state, checkpoints, a cluster in one process; Java 17."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from uuid import uuid4

from benchmarks.peers.environment import class_path, missing_java, run
from benchmarks.peers.job import SAMPLE_EVERY, job_of_arguments, record_outcome

FOLDER: Final = Path(__file__).parent
OPENED: Final = ("java.lang", "java.util", "java.util.concurrent", "java.net", "java.io")
"""The packages that Flink reads by reflection; its own scripts open them too."""


def main() -> None:
    """Run the job to the end of the topic, and check the stored polls."""
    job = job_of_arguments(__doc__ or "")
    missing = missing_java()
    if missing:
        job.write_not_run(missing)
        return
    classes = class_path(FOLDER, "flink-peer-1.jar")
    with TemporaryDirectory(prefix="store-uptime-peer-") as folder:
        output = Path(folder) / "out.json"
        usage = run(
            [
                *("java", "-Xmx1g", f"-Djava.io.tmpdir={folder}"),
                *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in OPENED),
                *("-cp", classes, "peer.Peer"),
                *(job.bootstrap, job.shape, str(job.records), str(SAMPLE_EVERY)),
                *(f"flink-{uuid4()}", str(Path(folder) / "checkpoints"), str(output)),
            ]
        )
        record_outcome(job, usage, output)


main()
