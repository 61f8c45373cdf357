"""One worker process: a Faust worker around `create_app`."""

from __future__ import annotations

import asyncio
import logging
import shutil
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import faust

from stream_app.clock import wall_clock
from stream_app.contracts.access import Process
from stream_app.errors import PrerequisiteError
from stream_app.kafka.admin import cluster_id, ensure_topics
from stream_app.local.processes.file_lock import locked_at_once
from stream_app.local.processes.files import write_whole
from stream_app.local.processes.gc_tuning import reduce_gc
from stream_app.local.run_file import worker_folder
from stream_app.worker.app import create_app
from stream_app.worker.shutdown import exit_immediately

if TYPE_CHECKING:
    from pathlib import Path

    from stream_app.settings import Settings

log = logging.getLogger(__name__)

_CLUSTER_FILE: Final = "cluster-id"
_MEMBER_FILE: Final = "member-id"


def run(settings: Settings, name: str) -> None:
    """Run a worker until SIGTERM or Ctrl-C.

    Args:
        settings: the settings, with the broker resolved.
        name: the name of this worker's folder below the data dir; no two running workers share it.

    Raises:
        SystemExit: 0 after a clean stop, 1 after a crash.
        BrokerUnavailableError: no broker answers at the start.
        PrerequisiteError: the topics are not as the settings say, the folder cannot be written, or
            another worker runs in it.
    """
    folder = worker_folder(settings.data_dir, name)
    busy = f"a worker already runs in {folder}: give this one another --name"
    with locked_at_once(folder.with_name(f"{name}.lock"), busy=busy):
        asyncio.run(ensure_topics(settings, Process.WORKER))
        # facts of another prefix are of another deployment, as those of another cluster are
        discard_other_cluster(folder, settings.kafka_prefix + asyncio.run(cluster_id(settings)))
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        app = create_app(settings, folder, member_id(folder), wall_clock)
        worker = faust.Worker(
            app,
            loop=loop,
            quiet=True,
            override_logging=False,
            redirect_stdouts=False,
        )
        # it writes codes for a terminal into the log, in front of the first line of the next start
        worker.spinner = None
        reduce_gc()
        log.info("worker %s starts", name)
        try:
            worker.execute_from_commandline()
        except Exception:
            if not app.on_fatal_error.triggered:
                raise
            exit_immediately()


def member_id(folder: Path) -> str:
    """Return the name by which the group knows the worker of this folder, however often it starts.

    A worker that starts again under its old name goes on with its old partitions at once; a new
    name would wait until the session of the old one is over.

    Raises:
        PrerequisiteError: the folder cannot be written.
    """
    file = folder / _MEMBER_FILE
    try:
        if not file.exists():
            write_whole(file, str(uuid4()))
        return file.read_text()
    except OSError as error:
        raise PrerequisiteError(f"cannot write in {folder}: {error.strerror}") from None


def discard_other_cluster(folder: Path, cluster: str) -> None:
    """Remove the databases of another Kafka cluster: its facts are none of this one's.

    Args:
        folder: the folder of one worker; it is created if it does not exist.
        cluster: the prefix of the names and the id of the cluster that this worker reads.

    Raises:
        PrerequisiteError: the folder cannot be written.
    """
    file = folder / _CLUSTER_FILE
    try:
        if file.exists():
            if file.read_text() == cluster:
                return
            log.warning(
                "the databases in %s are of another Kafka cluster or another STORE_UPTIME_KAFKA_"
                "PREFIX: they are removed, and built from the changelog of this one",
                folder,
            )
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(file, cluster)
    except OSError as error:
        raise PrerequisiteError(f"cannot write in {folder}: {error.strerror}") from None
