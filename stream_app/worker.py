"""One worker process: a Faust worker around `create_app`."""

from __future__ import annotations

import asyncio
import logging
import shutil
from typing import TYPE_CHECKING, Final

import faust

from stream_app.app import create_app, wall_clock
from stream_app.errors import PrerequisiteError
from stream_app.kafka.admin import cluster_id, ensure_topics
from stream_app.processes.folders import write_whole

if TYPE_CHECKING:
    from pathlib import Path

    from stream_app.settings import Settings

log = logging.getLogger(__name__)

_CLUSTER_FILE: Final = "cluster-id"


def run(settings: Settings, name: str) -> None:
    """Run a worker until SIGTERM or Ctrl-C.

    Args:
        settings: with the broker resolved.
        name: of this worker's folder below the data dir; one running worker a name.

    Raises:
        SystemExit: 0 after a clean stop, 1 after a crash.
        BrokerUnavailableError: no broker answers at the start.
        PrerequisiteError: the topics are not as the settings say, or the folder cannot be written.
    """
    asyncio.run(ensure_topics(settings))
    folder = settings.data_dir / "workers" / name
    keep_to_cluster(folder, asyncio.run(cluster_id(settings)))
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    app = create_app(settings, folder, wall_clock)
    worker = faust.Worker(
        app,
        loop=loop,
        quiet=True,
        override_logging=False,
        redirect_stdouts=False,
    )
    log.info("worker %s starts", name)
    worker.execute_from_commandline()


def keep_to_cluster(folder: Path, cluster: str) -> None:
    """Remove the databases of another Kafka cluster: its facts are none of this one's.

    Args:
        folder: of one worker; created where it does not exist.
        cluster: the id of the cluster that this worker reads.

    Raises:
        PrerequisiteError: the folder cannot be written.
    """
    note = folder / _CLUSTER_FILE
    try:
        if note.exists():
            if note.read_text() == cluster:
                return
            log.warning(
                "the databases in %s are of another Kafka cluster: they are removed, and built "
                "from the changelog of this one",
                folder,
            )
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(note, cluster)
    except OSError as error:
        raise PrerequisiteError(f"cannot write in {folder}: {error.strerror}") from None
