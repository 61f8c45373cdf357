"""Runs one Kafka process on this machine."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from stream_app.authority import LOOPBACK
from stream_app.data_dir import KAFKA_FOLDER, LOGS_FOLDER
from stream_app.errors import BrokerUnavailableError, PrerequisiteError
from stream_app.local.kafka.java import SMALL_JVM_OPTIONS
from stream_app.local.kafka.node_config import log4j2_configuration, server_properties
from stream_app.local.kafka.readiness import answers_kafka
from stream_app.local.processes.child import EXIT_POLL_SECONDS
from stream_app.local.processes.files import make_folder, write_whole
from stream_app.local.processes.log_file import LogPosition, end_position, find_error_line
from stream_app.local.processes.logged_process import PRIVATE_UMASK, spawn
from stream_app.local.processes.process_identity import runs_with_argument
from stream_app.local.processes.run_program import run_program

if TYPE_CHECKING:
    from pathlib import Path

    from stream_app.local.kafka.cluster_file import Cluster, NodeAddress
    from stream_app.local.processes.logged_process import LoggedProcess

_JVM_FLAGS: Final = (
    # measured on 2 cores: ready after 1.6 s instead of 2.4 s, and a third of the CPU of G1
    *SMALL_JVM_OPTIONS,
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:-UsePerfData",
    "-Djava.awt.headless=true",
    "-Dlog4j2.configurationFile=log4j2.xml",
)

_FORMAT_LIMIT: Final = 60.0


@dataclass(frozen=True, slots=True)
class Launch:
    """The parts of the command lines of all nodes.

    Attributes:
        java: the Java program.
        jars: folder of Kafka's jars.
        heap: largest heap of Java, such as `512m`.
        tied: whether the nodes end when this process dies.
    """

    java: str
    jars: Path
    heap: str
    tied: bool

    def command(self, main_class: str, *arguments: str) -> list[str]:
        """Return the program and arguments that run one of Kafka's main classes."""
        flags = [f"-Xmx{self.heap}", *_JVM_FLAGS]
        return [self.java, *flags, "-cp", f"{self.jars}/*", main_class, *arguments]

    def environment(self) -> dict[str, str]:
        """Return this process's variables, and one that makes Java read file names as UTF-8."""
        return {**os.environ, "LC_ALL": "C.UTF-8"}


class KafkaNode:
    """One node of a local cluster; `JavaKafkaCluster` makes them.

    `kill`, `pause`, `resume`, `stop` and `start` work on a single node, for tests of faults.

    Args:
        address: its ports, and its process id, which this object updates.
        cluster: the cluster that it belongs to.
        data_dir: folder of all state.
    """

    def __init__(self, address: NodeAddress, cluster: Cluster, data_dir: Path) -> None:
        self.address = address
        self.launch: Launch | None = None
        self._cluster = cluster
        self._data_dir = data_dir
        self._folder = data_dir / KAFKA_FOLDER / f"node-{address.id}"
        self._properties = self._folder / "server.properties"
        self._log_dir = data_dir / LOGS_FOLDER
        self._process: LoggedProcess | None = None
        self._log_start = [LogPosition(), LogPosition()]

    @property
    def name(self) -> str:
        """Return the name of the node, such as `kafka-1`."""
        return f"kafka-{self.address.id}"

    @property
    def log(self) -> Path:
        """Return the path of Kafka's own log."""
        return self._log_dir / f"{self.name}.log"

    @property
    def console(self) -> Path:
        """Return the log of what Java itself prints, such as a setting that Kafka rejects."""
        return self._log_dir / f"{self.name}.console.log"

    @property
    def pid(self) -> int | None:
        """Return its process id while it runs, also if another process started it."""
        if self._process is not None:
            # a child of this process; a Java that is starting has no command line yet
            return self._process.pid if self._process.poll() is None else None
        pid = self.address.pid
        return pid if runs_with_argument(pid, str(self._properties)) else None

    def write_settings(self, password: str | None) -> None:
        """Write the files that the node reads at its start, with its present ports.

        Args:
            password: the password that all nodes require and use; None if they require none.
        """
        make_folder(self._folder)
        make_folder(self._log_dir)
        properties = server_properties(self.address, self._cluster.nodes, password)
        write_whole(self._properties, properties)
        write_whole(self._folder / "log4j2.xml", log4j2_configuration(self.address.id))

    async def format(self) -> None:
        """Prepare its storage; do nothing if that was done before.

        Raises:
            BrokerUnavailableError: Kafka's storage tool failed; the message has its reason.
        """
        if (self._folder / "log" / "meta.properties").exists():
            return
        launch = self._require_launch()
        finished = await run_program(
            *launch.command("kafka.tools.StorageTool", "format", "--ignore-formatted"),
            "--cluster-id",
            self._cluster.cluster_id,
            "--config",
            str(self._properties),
            limit=_FORMAT_LIMIT,
            environment=launch.environment(),
            folder=self._folder,
            umask=PRIVATE_UMASK,
        )
        if not finished.ok:
            printed = (finished.errors + finished.output).strip().splitlines()
            raise BrokerUnavailableError(
                f"{self.name} cannot prepare its storage in {self._folder}: "
                f"{printed[0] if printed else f'exit code {finished.code}'}"
            )

    async def start(self) -> None:
        """Start its process on the ports that it has; do nothing if it runs already.

        It answers only later: see `JavaKafkaCluster.wait_until_ready()`.
        """
        if self.pid is not None:
            return
        launch = self._require_launch()
        self._log_start = [end_position(self.console), end_position(self.log)]
        self._process = spawn(
            launch.command("kafka.Kafka", str(self._properties)),
            log=self.console,
            environment=launch.environment(),
            folder=self._folder,
            tied=launch.tied,
        )
        self._save_pid(self._process.pid)

    async def answers(self, limit: float) -> bool | None:
        """Ask whether it answers Kafka within `limit` seconds; None if it cannot be asked."""
        return await answers_kafka(f"{LOOPBACK}:{self.address.port}", limit)

    async def wait(self) -> int | None:
        """Wait for its end and return its exit code; None if another process started it."""
        process = self._process
        while self.pid is not None:  # noqa: ASYNC110 - no event: it may be no child
            await asyncio.sleep(EXIT_POLL_SECONDS)
        if process is None:
            return None
        await process.log_written()
        return process.returncode

    async def stop(self, limit: float = 20.0) -> None:
        """Send SIGTERM, and SIGKILL after `limit` seconds; return when it has ended."""
        self._signal(signal.SIGTERM)
        # a paused process handles no SIGTERM until it continues
        self._signal(signal.SIGCONT)
        with suppress(TimeoutError):
            async with asyncio.timeout(limit):
                await self.wait()
        await self.kill()

    async def kill(self) -> None:
        """Send SIGKILL; return when it has ended."""
        self._signal(signal.SIGKILL)
        await self.wait()
        if self.address.pid is not None:
            # if the disk is full, the old id stays in the file; `pid` does not trust it
            with suppress(PrerequisiteError):
                self._save_pid(None)

    def pause(self) -> None:
        """Freeze it: its connections stay open, but it answers nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `pause`."""
        self._signal(signal.SIGCONT)

    def last_error_line(self) -> str:
        """Return the last error in its logs since its start, or else their last line."""
        return find_error_line(self.console, self.log, since=self._log_start)

    def _signal(self, number: signal.Signals) -> None:
        pid = self.pid
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _save_pid(self, pid: int | None) -> None:
        self.address.pid = pid
        self._cluster.save(self._data_dir)

    def _require_launch(self) -> Launch:
        if self.launch is None:
            raise RuntimeError("the cluster of this node was not started from here")
        return self.launch
