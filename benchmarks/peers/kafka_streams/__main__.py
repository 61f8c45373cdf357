"""Kafka Streams: one stream thread, RocksDB store, changelog; Java 17."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

from aiokafka.admin import AIOKafkaAdminClient

from benchmarks.peers.environment import run
from benchmarks.peers.job import SAMPLE_EVERY, Job, check, job_of_arguments

FOLDER = Path(__file__).parent
TARGET = FOLDER / "target"


def build() -> None:
    """Compile where the sources are newer than what was made of them."""
    jar = TARGET / "kafka-streams-peer-1.jar"
    sources = [FOLDER / "pom.xml", *FOLDER.glob("src/**/*.java")]
    if not jar.exists() or jar.stat().st_mtime < max(s.stat().st_mtime for s in sources):
        run(["mvn", "--quiet", "--batch-mode", "--file", str(FOLDER / "pom.xml"), "package"])


async def forget(job: Job, application: str) -> None:
    """Delete the topics that an application made."""
    admin = AIOKafkaAdminClient(**job.connection)
    await admin.start()
    try:
        made = [topic for topic in await admin.list_topics() if topic.startswith(application)]
        if made:
            await admin.delete_topics(made)
    finally:
        await admin.close()


def main() -> None:
    """Run the application to the end of the topic, and check what it kept."""
    job = job_of_arguments(__doc__ or "")
    missing = [program for program in ("java", "mvn") if shutil.which(program) is None]
    if missing:
        job.not_run(f"{' and '.join(missing)} missing: install openjdk-17-jdk-headless and maven")
        return
    build()
    application = f"kafka-streams-{uuid4()}"
    with TemporaryDirectory(prefix="store-uptime-peer-") as folder:
        output = Path(folder) / "out.json"
        try:
            run(
                [
                    *("java", "-Xmx1g", "-cp", f"{TARGET}/kafka-streams-peer-1.jar:{TARGET}/lib/*"),
                    *("peer.Peer", job.bootstrap, job.shape, str(job.records), str(SAMPLE_EVERY)),
                    *(application, str(Path(folder) / "state"), str(output)),
                ]
            )
            told = json.loads(output.read_text(encoding="utf-8"))
        finally:
            asyncio.run(forget(job, application))
    job.done(told["seconds"], check(job, told["stores"]), cpu=told["cpu"])


main()
