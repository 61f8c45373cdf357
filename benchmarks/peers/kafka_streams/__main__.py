"""Kafka Streams: one stream thread, RocksDB store, changelog; Java 17."""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from uuid import uuid4

from aiokafka.admin import AIOKafkaAdminClient

from benchmarks.peers.environment import class_path, missing_java, run
from benchmarks.peers.job import SAMPLE_EVERY, Job, job_of_arguments, record_outcome

FOLDER: Final = Path(__file__).parent
EXACTLY_ONCE: Final = "exactly-once"


async def delete_topics(job: Job, application: str) -> None:
    """Delete the topics that an application has made."""
    admin = AIOKafkaAdminClient(**job.connection)
    await admin.start()
    try:
        topics = [topic for topic in await admin.list_topics() if topic.startswith(application)]
        if topics:
            await admin.delete_topics(topics)
    finally:
        await admin.close()


def main() -> None:
    """Run the application to the end of the topic, and check the stored polls."""
    job = job_of_arguments(__doc__ or "", options=(EXACTLY_ONCE,))
    missing = missing_java()
    if missing:
        job.write_not_run(missing)
        return
    classes = class_path(FOLDER, "kafka-streams-peer-1.jar")
    application = f"kafka-streams-{uuid4()}"
    with TemporaryDirectory(prefix="store-uptime-peer-") as folder:
        output = Path(folder) / "out.json"
        try:
            usage = run(
                [
                    *("java", "-Xmx1g", "-cp", classes, "peer.Peer"),
                    *(job.bootstrap, job.shape, str(job.records), str(SAMPLE_EVERY)),
                    *(application, str(Path(folder) / "state"), str(output)),
                    "exactly_once_v2" if EXACTLY_ONCE in job.options else "at_least_once",
                ]
            )
        finally:
            asyncio.run(delete_topics(job, application))
        record_outcome(job, usage, output)


main()
