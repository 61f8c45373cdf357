"""Chooses the broker: a named one, Docker, or Java with Maven."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from stream_app.data_dir import CLUSTER_FILE, DOCKER_FILE
from stream_app.errors import PrerequisiteError, SettingsError, StoreUptimeError
from stream_app.local.kafka.broker import BrokerStatus, Started
from stream_app.local.kafka.cluster_file import Cluster
from stream_app.local.kafka.docker import DockerKafka, docker_problem
from stream_app.local.kafka.jars import INSTALL, KAFKA, cached_jars, trouble_with
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

    async def start(self, *, tied: bool = True) -> Started:  # noqa: ARG002 - nothing is started
        """Return its address; its first client sees whether it answers."""
        return Started(self._bootstrap, 0, already_running=True)

    async def stop(self) -> bool:
        """Do nothing: nothing was started."""
        return False

    async def status(self) -> BrokerStatus:
        """Return the address of the broker, without asking it."""
        return BrokerStatus(running=True, bootstrap=self._bootstrap, detail="named in the settings")


async def choose_broker(
    settings: Settings, *, nodes: int | None = None, report: Callable[[str], None]
) -> Broker:
    """Choose the broker that these settings name, or a local one, ready to start.

    Args:
        settings: kafka_bootstrap decides; data_dir and cache_dir for a local one.
        nodes: 1 or 3 nodes of a local one; None for as many as the data dir has.
        report: takes one line for the person.

    Raises:
        PrerequisiteError: no way to run one; says what to install.
        SettingsError: security settings without a named broker.
    """
    if settings.kafka_bootstrap:
        return NamedBroker(settings.kafka_bootstrap)
    return await choose_local_broker(settings, nodes=nodes, report=report)


async def choose_local_broker(
    settings: Settings, *, nodes: int | None = None, report: Callable[[str], None]
) -> Broker:
    """Choose a broker on this machine: the one of the data dir, else Docker, else Java.

    Docker runs one node; three nodes run on Java. A Docker that cannot pull the image gives way
    to Java.

    Raises:
        PrerequisiteError: no way to run one; says what to install.
        SettingsError: security settings that a local broker does not serve.
    """
    if settings.kafka_security_protocol != "PLAINTEXT":
        raise SettingsError(
            f"STORE_UPTIME_KAFKA_SECURITY_PROTOCOL={settings.kafka_security_protocol} needs "
            "STORE_UPTIME_KAFKA_BOOTSTRAP: to a local broker one logs in without settings"
        )
    begun = existing_broker(settings, nodes=nodes)
    if begun is not None:
        if isinstance(begun, DockerKafka) and (problem := await docker_problem()):
            raise PrerequisiteError(
                f"the data dir {settings.data_dir} was begun with Docker, and {problem}: start "
                "Docker, or use another --data-dir"
            )
        await begun.prepare(report)
        return begun
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
        PrerequisiteError: it has another number of nodes than is asked for.
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
    """Count the nodes on Java that this data dir has; None where it has another broker or none.

    Raises:
        PrerequisiteError: cluster.json cannot be read.
    """
    begun = Cluster.load(settings.data_dir.expanduser())
    return len(begun.nodes) if begun else None


async def running_bootstrap(settings: Settings) -> str | None:
    """Find HOST:PORT[,...] of the named broker, or of the data dir's if it runs and answers."""
    if settings.kafka_bootstrap:
        return settings.kafka_bootstrap
    try:
        begun = existing_broker(settings)
        status = await begun.status() if begun else None
    except StoreUptimeError:
        # the start of the broker says what is wrong with it
        return None
    return status.bootstrap if status and status.running else None


async def _missing_for_java(settings: Settings) -> NoJava | None:
    java = await find_java()
    if isinstance(java, NoJava):
        return java
    if shutil.which("mvn") is None and cached_jars(settings.cache_dir) is None:
        trouble = trouble_with(KAFKA.folder(settings.cache_dir))
        return NoJava(f"there is no Maven to fetch Kafka: {trouble}", INSTALL)
    return None
