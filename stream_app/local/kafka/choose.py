"""Chooses the broker: a named one, Docker, or Java with Maven."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from stream_app.data_dir import CLUSTER_FILE, DOCKER_FILE
from stream_app.errors import PrerequisiteError, SettingsError, StoreUptimeError
from stream_app.local.kafka.broker import BrokerStatus, StartedBroker
from stream_app.local.kafka.cluster_file import Cluster
from stream_app.local.kafka.docker import DockerKafka, docker_problem
from stream_app.local.kafka.jars import INSTALL, KAFKA, cached_jars, find_jar_problem
from stream_app.local.kafka.java import NoJava, find_java
from stream_app.local.kafka.java_cluster import JavaKafkaCluster

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_app.local.kafka.broker import Broker
    from stream_app.settings import Settings


class NamedBroker:
    """A broker that someone else runs: nothing is started and nothing is stopped."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap

    @property
    def description(self) -> str:
        """Return the name for people: `the named Kafka`."""
        return "the named Kafka"

    def supervised(self) -> tuple[()]:
        """Return no process: someone else runs the broker."""
        return ()

    async def prepare(self, report: Callable[[str], None]) -> None:
        """Do nothing: there is nothing to fetch."""

    async def start(self, *, tied: bool = True) -> StartedBroker:  # noqa: ARG002 - not started
        """Return its address, without a check of whether it answers."""
        return StartedBroker(self._bootstrap, 0, already_running=True)

    async def stop(self) -> bool:
        """Do nothing: nothing was started."""
        return False

    async def status(self) -> BrokerStatus:
        """Return the address of the broker, without a check of whether it answers."""
        return BrokerStatus(running=True, bootstrap=self._bootstrap, detail="named in the settings")


async def choose_broker(
    settings: Settings, *, nodes: int | None = None, report: Callable[[str], None]
) -> Broker:
    """Choose the broker that these settings name, or a local one, ready to start.

    Args:
        settings: kafka_bootstrap names a broker; data_dir and cache_dir are for a local one.
        nodes: 1 or 3 nodes of a local one; None for as many as the data dir has.
        report: gets one line for the person.

    Raises:
        PrerequisiteError: no broker can be run; the message says what to install.
        SettingsError: there are security settings, but no named broker.
    """
    if settings.kafka_bootstrap:
        return NamedBroker(settings.kafka_bootstrap)
    return await choose_local_broker(settings, nodes=nodes, report=report)


async def choose_local_broker(
    settings: Settings, *, nodes: int | None = None, report: Callable[[str], None]
) -> Broker:
    """Choose a broker on this machine: the one of the data dir, else Docker, else Java.

    Docker runs one node; three nodes run on Java. If Docker cannot pull the image, Java is used.

    Raises:
        PrerequisiteError: no broker can be run; the message says what to install.
        SettingsError: there are security settings, which a local broker does not support.
    """
    if settings.kafka_security_protocol != "PLAINTEXT":
        raise SettingsError(
            f"STORE_UPTIME_KAFKA_SECURITY_PROTOCOL={settings.kafka_security_protocol} needs "
            "STORE_UPTIME_KAFKA_BOOTSTRAP: to a local broker one logs in without settings"
        )
    existing = existing_broker(settings, nodes=nodes)
    if existing is not None:
        if isinstance(existing, DockerKafka) and (problem := await docker_problem()):
            raise PrerequisiteError(
                f"the data dir {settings.data_dir} was begun with Docker, and {problem}: start "
                "Docker, or use another --data-dir"
            )
        await existing.prepare(report)
        return existing
    problem = "three nodes run on Java only" if nodes == 3 else await docker_problem()
    if problem is None:
        in_docker = DockerKafka(settings.data_dir)
        try:
            await in_docker.prepare(report)
        except PrerequisiteError as error:
            problem = str(error)
            report(f"{problem}; trying Java")
        else:
            return in_docker
    on_java = JavaKafkaCluster(settings.data_dir, settings.cache_dir, nodes=nodes)
    missing = await _missing_for_java(settings)
    if missing:
        raise PrerequisiteError(
            f"no way to run Kafka here ({problem}; {missing.reason}): {missing.remedy}, or start "
            "Docker, or name a broker in STORE_UPTIME_KAFKA_BOOTSTRAP"
        )
    await on_java.prepare(report)
    return on_java


def existing_broker(settings: Settings, *, nodes: int | None = None) -> Broker | None:
    """Find the broker that holds this data dir's data; None in a new data dir.

    Raises:
        PrerequisiteError: it has another number of nodes than `nodes`.
    """
    data_dir = settings.data_dir.expanduser()
    if (data_dir / CLUSTER_FILE).exists():
        on_java = JavaKafkaCluster(settings.data_dir, settings.cache_dir, nodes=nodes)
        on_java.load()
        return on_java
    if (data_dir / DOCKER_FILE).exists():
        if nodes == 3:
            raise PrerequisiteError(
                f"the data dir {settings.data_dir} holds a broker of 1 node in Docker, not of 3: "
                "say --nodes 1, or use another --data-dir"
            )
        return DockerKafka(settings.data_dir)
    return None


def existing_nodes(settings: Settings) -> int | None:
    """Count the nodes on Java that this data dir has; None if it has none, or another broker.

    Raises:
        PrerequisiteError: cluster.json cannot be read.
    """
    existing = Cluster.load(settings.data_dir.expanduser())
    return len(existing.nodes) if existing else None


async def running_bootstrap(settings: Settings) -> str | None:
    """Return HOST:PORT[,...] of the named broker, or of the data dir's broker if that answers."""
    if settings.kafka_bootstrap:
        return settings.kafka_bootstrap
    try:
        existing = existing_broker(settings)
        status = await existing.status() if existing else None
    except StoreUptimeError:
        # a start of the broker reports the error
        return None
    return status.bootstrap if status and status.running else None


async def _missing_for_java(settings: Settings) -> NoJava | None:
    java = await find_java()
    if isinstance(java, NoJava):
        return java
    if shutil.which("mvn") is None and cached_jars(settings.cache_dir) is None:
        problem = find_jar_problem(KAFKA.folder(settings.cache_dir))
        return NoJava(f"there is no Maven to fetch Kafka: {problem}", INSTALL)
    return None
