"""The local broker runs in Java as processes of its own, with its ports and data on disk."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from stream_app.contracts.topics import MAX_STATE_BYTES
from stream_app.kafka.bootstrap import resolve_bootstrap
from stream_app.kafka.clients import connection, producer
from stream_app.local.kafka.cluster_file import Cluster
from stream_app.local.kafka.java_cluster import JavaKafkaCluster
from stream_app.local.processes.process_identity import command_line
from stream_app.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.kafka

TIED_LAUNCHER = """
import asyncio, signal, sys
from pathlib import Path
from stream_app.local.kafka.java_cluster import JavaKafkaCluster
broker = JavaKafkaCluster(Path(sys.argv[1]), Path(sys.argv[2]))
asyncio.run(broker.start(tied=True))
print(broker.node(1).pid, flush=True)
signal.pause()
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    # paths of users contain blanks and characters beyond ASCII
    return Settings.from_environment(os.environ, data_dir=tmp_path / "data é 1")


@pytest.fixture
async def broker(settings: Settings) -> AsyncIterator[JavaKafkaCluster]:
    local = JavaKafkaCluster(settings.data_dir, settings.cache_dir)
    yield local
    await local.stop()


def command(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "stream_app.cli.main", "kafka", *arguments],
        env={**os.environ, "STORE_UPTIME_DATA_DIR": str(settings.data_dir)},
        capture_output=True,
        text=True,
        check=False,
    )


async def send(settings: Settings, topic: str, *values: bytes) -> None:
    client = producer(resolve_bootstrap(settings))
    await client.start()
    try:
        for value in values:
            await client.send_and_wait(topic, value)
    finally:
        await client.stop()


async def read(settings: Settings, topic: str, count: int) -> list[bytes]:
    consumer = AIOKafkaConsumer(
        topic,
        **connection(resolve_bootstrap(settings)),
        group_id="reader",
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        return [(await consumer.getone()).value for _ in range(count)]
    finally:
        await consumer.stop()


async def create(settings: Settings, topic: str, copies: int) -> None:
    admin = AIOKafkaAdminClient(**connection(resolve_bootstrap(settings)))
    await admin.start()
    try:
        configs = {"max.message.bytes": str(MAX_STATE_BYTES)}
        await admin.create_topics([NewTopic(topic, 1, copies, topic_configs=configs)])
    finally:
        await admin.close()


async def test_data_ports_and_offsets_outlive_a_restart(
    settings: Settings, broker: JavaKafkaCluster
) -> None:
    first = await broker.start()
    assert not first.already_running
    large = bytes(MAX_STATE_BYTES - 1000)
    await create(settings, "kept", 1)
    await send(settings, "kept", b"one", large)
    assert await read(settings, "kept", 1) == [b"one"]

    again = await JavaKafkaCluster(settings.data_dir, settings.cache_dir).start()
    assert (again.already_running, again.bootstrap) == (True, first.bootstrap)

    assert await broker.stop()
    assert not (await broker.status()).running

    second = await JavaKafkaCluster(settings.data_dir, settings.cache_dir).start()
    assert (second.already_running, second.bootstrap) == (False, first.bootstrap)
    assert await read(settings, "kept", 1) == [large], "the group reads on after `one`"


async def test_a_tied_broker_ends_with_a_launcher_that_is_killed(
    settings: Settings, broker: JavaKafkaCluster
) -> None:
    launcher = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        TIED_LAUNCHER,
        settings.data_dir,
        settings.cache_dir,
        stdout=asyncio.subprocess.PIPE,
    )
    assert launcher.stdout
    pid = int(await launcher.stdout.readline())
    assert "kafka.Kafka" in command_line(pid)
    launcher.kill()
    await launcher.wait()
    while command_line(pid):  # noqa: ASYNC110 - the process is not a child of this one
        await asyncio.sleep(0.01)

    # the files that the launcher left on disk do not prevent a new start
    assert not (await broker.status()).running
    assert not (await broker.start()).already_running


def test_a_broker_of_the_command_outlives_it_until_stopped(settings: Settings) -> None:
    assert command(settings, "status").returncode == 3
    started = command(settings, "start")
    try:
        assert started.returncode == 0, started.stderr
        name, _, bootstrap = started.stdout.strip().partition("=")
        assert name == "STORE_UPTIME_KAFKA_BOOTSTRAP"
        status = command(settings, "status")
        assert (status.returncode, status.stdout) == (0, started.stdout)
        again = command(settings, "start")
        assert (again.stdout, "was already running" in again.stderr) == (started.stdout, True)
        refused = command(settings, "start", "--nodes", "3")
        assert refused.returncode == 3
        assert len(refused.stderr.splitlines()) == 1
        cluster = Cluster.load(settings.data_dir)
        assert cluster
        assert cluster.bootstrap == bootstrap
        pid = cluster.nodes[0].pid
        assert pid
    finally:
        stopped = command(settings, "stop")
    assert stopped.returncode == 0, stopped.stderr
    assert command_line(pid) == []
    assert command(settings, "status").returncode == 3
    assert command(settings, "stop").returncode == 0


async def test_a_node_of_three_can_be_killed_and_started_again(settings: Settings) -> None:
    broker = JavaKafkaCluster(settings.data_dir, settings.cache_dir, nodes=3)
    started = await broker.start()
    try:
        assert started.nodes == 3
        await create(settings, "copied", 3)
        await send(settings, "copied", b"one")
        await broker.node(2).kill()
        assert broker.node(2).pid is None
        assert (await broker.status()).running
        await broker.node(2).start()
        await broker.wait_until_ready()
        broker.node(3).pause()
        broker.node(3).resume()
        assert await read(settings, "copied", 1) == [b"one"]
    finally:
        # killed, since in an orderly stop the last of three nodes waits five seconds for the others
        await asyncio.gather(*(node.kill() for node in broker.nodes))
    assert [node.pid for node in broker.nodes] == [None, None, None]
