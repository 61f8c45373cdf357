"""A Kafka cluster of one or three nodes on this machine, run by Java."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from stream_app.data_dir import KAFKA_FOLDER
from stream_app.errors import BrokerUnavailableError, PrerequisiteError
from stream_app.kafka.local_login import read_password
from stream_app.local.kafka.broker import BrokerStatus, StartedBroker
from stream_app.local.kafka.cluster_file import Cluster
from stream_app.local.kafka.jars import KAFKA_VERSION, fetch_jars
from stream_app.local.kafka.java import NoJava, find_java
from stream_app.local.kafka.node import KafkaNode, Launch
from stream_app.local.kafka.password import make_password
from stream_app.local.kafka.readiness import answering_nodes, wait_until_answering
from stream_app.local.processes.file_lock import locked
from stream_app.local.processes.ports import is_free

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

_LOCK_LIMIT: Final = 120.0
_READY_LIMIT: Final = 90.0
_HEAP_OF_ONE_NODE: Final = "512m"
_HEAP_OF_EACH_NODE: Final = "384m"


def _ignore_line(_line: str) -> None:
    """Ignore a line about a download: this start reports nothing."""


class JavaKafkaCluster:
    """Apache Kafka (KRaft) under `<data_dir>/kafka`, reachable from this machine only.

    The first start chooses free ports, and later starts use the same ones. The data stays until the
    folder is removed. Clients need the password in the data dir (`local/kafka/password.py`).

    Args:
        data_dir: folder of all state.
        cache_dir: folder of the jars.
        nodes: 1 or 3; None for as many as the data dir has, or one in a new data dir.
    """

    def __init__(self, data_dir: Path, cache_dir: Path, *, nodes: int | None = None) -> None:
        # the absolute path identifies a node's process
        self._data_dir = data_dir.expanduser().resolve()
        self._folder = self._data_dir / KAFKA_FOLDER
        self._cache_dir = cache_dir
        self._requested_nodes = nodes
        self._cluster: Cluster | None = None
        self._nodes: list[KafkaNode] = []

    @property
    def description(self) -> str:
        """Return the name for people, such as `Kafka 4.3.1 on Java`."""
        return f"Kafka {KAFKA_VERSION} on Java"

    @property
    def bootstrap(self) -> str:
        """Return HOST:PORT[,...] of all nodes; empty before the first start."""
        return self._cluster.bootstrap if self._cluster else ""

    @property
    def nodes(self) -> Sequence[KafkaNode]:
        """Return all nodes; empty before the first start."""
        return tuple(self._nodes)

    def node(self, number: int) -> KafkaNode:
        """Return the node with this number, from 1."""
        return self._nodes[number - 1]

    def supervised(self) -> Sequence[KafkaNode]:
        """Return its nodes."""
        return self.nodes

    def load(self) -> None:
        """Read which nodes the data dir has; `start`, `stop` and `status` call this too.

        Raises:
            PrerequisiteError: the data dir has another number of nodes than the requested one, or
                cluster.json cannot be read.
        """
        if self._cluster is None:
            cluster = Cluster.load(self._data_dir)
            if cluster is not None:
                self._adopt(cluster)
        if self._cluster and self._requested_nodes not in (None, len(self._cluster.nodes)):
            stored = len(self._cluster.nodes)
            raise PrerequisiteError(
                f"the data dir {self._data_dir} holds a broker of {stored} node(s), not of "
                f"{self._requested_nodes}: say --nodes {stored}, or use another --data-dir"
            )

    async def prepare(self, report: Callable[[str], None]) -> None:
        """Download the jars, so that a start needs no network.

        Args:
            report: gets one line for the person if something is downloaded.

        Raises:
            PrerequisiteError: there is no Java or Maven, or Maven cannot download the jars.
        """
        await self._launch(tied=True, report=report)

    async def start(self, *, tied: bool = True) -> StartedBroker:
        """Start the nodes that do not run, and wait until all answer.

        Args:
            tied: whether they end when this process dies; nodes that join running nodes never do.

        Raises:
            PrerequisiteError: something must be installed, a port must be freed, or the data dir
                has another number of nodes.
            BrokerUnavailableError: a node ends, or does not answer in time.
        """
        async with self._locked():
            self.load()
            running = [node for node in self._nodes if node.pid is not None]
            if not self._nodes or len(running) < len(self._nodes):
                launch = await self._launch(tied=tied and not running)
                await self._start_missing(launch, already_running=bool(running))
            await self.wait_until_ready()
        return StartedBroker(self.bootstrap, len(self._nodes), already_running=bool(running))

    async def wait_until_ready(self, limit: float = _READY_LIMIT) -> None:
        """Wait until every node is part of the cluster and answers.

        Raises:
            BrokerUnavailableError: a node has ended, or not all answer within `limit` seconds.
        """
        await wait_until_answering(
            self.bootstrap,
            len(self._nodes),
            read_password(self._data_dir),
            limit=limit,
            require_running=self._require_all,
        )

    async def stop(self) -> bool:
        """Stop all nodes, and return True if any ran.

        Raises:
            PrerequisiteError: cluster.json cannot be read.
        """
        if not self._folder.exists():
            return False
        async with self._locked():
            self.load()
            running = [node for node in self._nodes if node.pid is not None]
            # all at once: the last of several would wait for a quorum that has ended
            await asyncio.gather(*(node.stop() for node in running))
        return bool(running)

    async def status(self) -> BrokerStatus:
        """Ask whether it runs and answers."""
        self.load()
        total = len(self._nodes)
        if not total:
            return BrokerStatus(running=False, bootstrap="", detail="never started")
        running = sum(node.pid is not None for node in self._nodes)
        alive = await self._answering() if running else 0
        if not running:
            detail = "not running"
        elif not alive:
            detail = f"{running} of {total} nodes run, none answers"
        else:
            detail = f"{min(alive, running)} of {total} nodes run and answer"
        return BrokerStatus(running=alive > 0, bootstrap=self.bootstrap, detail=detail)

    async def _answering(self) -> int:
        return await answering_nodes(self.bootstrap, read_password(self._data_dir))

    def _locked(self) -> AbstractAsyncContextManager[None]:
        busy = f"another process is starting or stopping the broker in {self._folder}"
        return locked(self._folder / "lock", limit=_LOCK_LIMIT, busy=busy)

    async def _launch(self, *, tied: bool, report: Callable[[str], None] = _ignore_line) -> Launch:
        java = await find_java()
        if isinstance(java, NoJava):
            raise PrerequisiteError(f"{java.reason}: {java.remedy}")
        jars = await fetch_jars(self._cache_dir, report=report)
        count = len(self._nodes) or self._requested_nodes or 1
        heap = _HEAP_OF_ONE_NODE if count == 1 else _HEAP_OF_EACH_NODE
        return Launch(java.program, jars, heap, tied)

    def _adopt(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._nodes = [KafkaNode(address, cluster, self._data_dir) for address in cluster.nodes]

    async def _start_missing(self, launch: Launch, *, already_running: bool) -> None:
        cluster = self._cluster
        if cluster is None:
            cluster = Cluster.new(self._requested_nodes or 1)
            self._adopt(cluster)
        elif already_running:
            self._require_free_ports()
        else:
            cluster.renew_busy_ports()
        cluster.save(self._data_dir)
        # running nodes go on with the password that they have, or with none
        password = (read_password if already_running else make_password)(self._data_dir)
        missing = [node for node in self._nodes if node.pid is None]
        for node in self._nodes:
            node.launch = launch
        try:
            for node in missing:
                node.write_settings(password)
            await asyncio.gather(*(node.format() for node in missing))
            for node in missing:
                await node.start()
            await self.wait_until_ready()
        except BaseException:
            # after any error no started node may go on
            await asyncio.gather(*(node.kill() for node in missing))
            raise

    def _require_free_ports(self) -> None:
        """Raise an error if a port is in use: it cannot change while other nodes know it."""
        for node in self._nodes:
            for port in (node.address.port, node.address.controller_port):
                if node.pid is None and not is_free(port):
                    raise PrerequisiteError(
                        f"port {port} of {node.name} is in use: stop the broker "
                        "(`store-uptime kafka stop`) and start it again"
                    )

    async def _require_all(self) -> None:
        for node in self._nodes:
            if node.pid is None:
                # until its log is whole
                await node.wait()
                raise BrokerUnavailableError(
                    f"{node.name} has ended: {node.last_error_line() or 'no word of why'}; "
                    f"log: {node.log}"
                )
