from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from stream_app.errors import BrokerUnavailableError, PrerequisiteError
from stream_app.local.kafka.cluster_file import Cluster
from stream_app.local.kafka.java_cluster import JavaKafkaCluster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from stream_app.settings import Settings


def save_cluster(settings: Settings, nodes: int, pid: int | None) -> Path:
    folder = settings.data_dir / "kafka"
    folder.mkdir(parents=True)
    cluster = Cluster.new(nodes)
    for node in cluster.nodes:
        node.pid = pid
    cluster.save(settings.data_dir)
    return folder


async def test_a_process_id_that_another_program_has_now_is_left_alone(settings: Settings) -> None:
    save_cluster(settings, 1, os.getpid())
    broker = JavaKafkaCluster(settings.data_dir, settings.cache_dir)
    assert not (await broker.status()).running
    assert not await broker.stop()
    # a signal would have ended this process


@pytest.fixture
def left_process(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process with the arguments of a node of this data folder."""
    properties = settings.data_dir.resolve() / "kafka" / "node-1" / "server.properties"
    command = [sys.executable, "-c", "input()", str(properties)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


async def test_a_process_of_an_earlier_launcher_is_known_and_stopped(
    settings: Settings, left_process: subprocess.Popen[bytes]
) -> None:
    save_cluster(settings, 1, None)
    cluster = Cluster.load(settings.data_dir)
    assert cluster
    cluster.nodes[0].pid = left_process.pid
    cluster.save(settings.data_dir)
    broker = JavaKafkaCluster(settings.data_dir, settings.cache_dir)
    assert (await broker.status()).detail == "1 of 1 nodes run, none answers"
    assert await broker.stop()
    assert left_process.wait() != 0
    stored = Cluster.load(settings.data_dir)
    assert stored
    assert stored.nodes[0].pid is None


async def test_another_number_of_nodes_is_refused(settings: Settings) -> None:
    save_cluster(settings, 3, None)
    with pytest.raises(PrerequisiteError, match=r"holds a broker of 3 node.*--nodes 3"):
        await JavaKafkaCluster(settings.data_dir, settings.cache_dir, nodes=1).start()
    # without `nodes` the stored number applies
    assert not await JavaKafkaCluster(settings.data_dir, settings.cache_dir).stop()


async def test_a_folder_whose_broker_never_started_has_nothing_to_stop(settings: Settings) -> None:
    broker = JavaKafkaCluster(settings.data_dir, settings.cache_dir)
    assert not await broker.stop()
    assert (await broker.status()).detail == "never started"
    assert not settings.data_dir.exists()


async def test_the_reason_of_a_node_that_ends_at_its_start_is_passed_on(
    settings: Settings,
    programs: Callable[[str, str], Path],
    maven: Callable[..., Callable[[], int]],
) -> None:
    maven()
    programs(
        "java",
        """case "$*" in
        *-version) echo 'openjdk version "17"' >&2;;
        *kafka.Kafka*) echo 'ERROR Exiting Kafka: disk full'; echo '  at Some.stack'; exit 1;;
        esac""",
    )
    broker = JavaKafkaCluster(settings.data_dir, settings.cache_dir)
    with pytest.raises(BrokerUnavailableError, match=r"kafka-1 has ended: ERROR .* disk full"):
        await broker.start()
    stored = Cluster.load(settings.data_dir)
    assert stored
    assert stored.nodes[0].pid is None


async def test_the_reason_of_a_storage_tool_that_fails_is_passed_on(
    settings: Settings,
    programs: Callable[[str, str], Path],
    maven: Callable[..., Callable[[], int]],
) -> None:
    maven()
    programs(
        "java",
        """case "$*" in
        *-version) echo 'openjdk version "17"' >&2;;
        *StorageTool*) echo 'No space left on device' >&2; exit 1;;
        esac""",
    )
    with pytest.raises(BrokerUnavailableError, match=r"kafka-1 cannot prepare .* No space left"):
        await JavaKafkaCluster(settings.data_dir, settings.cache_dir).start()
