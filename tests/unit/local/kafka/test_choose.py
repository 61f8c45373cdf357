from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from stream_app.errors import PrerequisiteError, SettingsError
from stream_app.local.kafka import choose
from stream_app.local.kafka.choose import NamedBroker, choose_broker
from stream_app.local.kafka.cluster_file import Cluster
from stream_app.local.kafka.docker import DockerKafka
from stream_app.local.kafka.java_cluster import JavaKafkaCluster

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from stream_app.settings import Settings

    Programs = Callable[[str, str], Path]
    Maven = Callable[..., Callable[[], int]]

ENGINE = 'case "$1" in info) echo 29.0;; esac'
NO_ENGINE = 'echo "Cannot connect to the Docker daemon" >&2; exit 1'
NO_IMAGE = """case "$*" in
info*) echo 29.0;; *config*) echo apache/kafka:9;; image*) exit 1;;
*pull*) echo "no such host" >&2; exit 1;; esac"""


async def test_a_named_broker_is_preferred_and_nothing_is_started(
    settings: Settings, programs: Programs
) -> None:
    programs("docker", ENGINE)
    named = settings.replace(kafka_bootstrap="kafka.example:9092")
    broker = await choose_broker(named, report=print)
    assert isinstance(broker, NamedBroker)
    started = await broker.start()
    assert (started.bootstrap, started.already_running) == ("kafka.example:9092", True)
    assert not await broker.stop()


async def test_docker_is_preferred_to_java(
    settings: Settings, programs: Programs, java: Callable[[str], Path], maven: Maven
) -> None:
    programs("docker", ENGINE)
    java("17.0.1")
    calls = maven()
    assert isinstance(await choose_broker(settings, report=print), DockerKafka)
    assert calls() == 0


@pytest.mark.parametrize(
    "docker",
    [NO_ENGINE, 'case "$1" in info) echo 29.0;; compose) exit 1;; esac', None],
    ids=["client only", "no compose", "no docker"],
)
async def test_java_is_used_where_docker_cannot_be_used(
    docker: str | None,
    settings: Settings,
    programs: Programs,
    java: Callable[[str], Path],
    maven: Maven,
) -> None:
    if docker:
        programs("docker", docker)
    java("17.0.1")
    calls = maven()
    assert isinstance(await choose_broker(settings, report=print), JavaKafkaCluster)
    assert calls() == 1


async def test_java_is_used_where_docker_cannot_pull_the_image(
    settings: Settings, programs: Programs, java: Callable[[str], Path], maven: Maven
) -> None:
    programs("docker", NO_IMAGE)
    java("17.0.1")
    maven()
    lines: list[str] = []
    assert isinstance(await choose_broker(settings, report=lines.append), JavaKafkaCluster)
    assert lines[1] == "Docker cannot pull Kafka's image: no such host; trying Java"


async def test_three_nodes_run_on_java(
    settings: Settings, programs: Programs, java: Callable[[str], Path], maven: Maven
) -> None:
    programs("docker", ENGINE)
    java("17.0.1")
    maven()
    assert isinstance(await choose_broker(settings, nodes=3, report=print), JavaKafkaCluster)


async def test_cached_jars_need_no_maven(
    settings: Settings, tmp_path: Path, java: Callable[[str], Path], maven: Maven
) -> None:
    java("17.0.1")
    maven()
    await choose_broker(settings, report=print)
    (tmp_path / "bin" / "mvn").unlink()
    assert isinstance(await choose_broker(settings, report=print), JavaKafkaCluster)


@pytest.mark.parametrize(
    ("with_java", "reason"),
    [
        (None, "there is no Java 17 or later"),
        ("1.8.0_392", "java is Java 8): install"),
        ("17.0.1", "there is no Maven to fetch Kafka: "),
    ],
)
async def test_without_docker_java_and_maven_the_error_says_what_to_install(
    with_java: str | None,
    reason: str,
    settings: Settings,
    programs: Programs,
    java: Callable[[str], Path],
) -> None:
    programs("docker", NO_ENGINE)
    if with_java:
        java(with_java)
    with pytest.raises(PrerequisiteError) as failure:
        await choose_broker(settings, report=print)
    text = str(failure.value)
    assert "no Docker engine answers" in text
    assert reason in text
    assert "apt install maven" in text
    assert "brew install maven" in text
    assert "\n" not in text


async def test_a_data_folder_keeps_the_kind_of_broker_that_it_began_with(
    settings: Settings, programs: Programs, java: Callable[[str], Path], maven: Maven
) -> None:
    programs("docker", ENGINE)
    java("17.0.1")
    maven()
    folder = settings.data_dir / "kafka"
    folder.mkdir(parents=True)
    Cluster.new(1).save(settings.data_dir)
    assert isinstance(await choose_broker(settings, report=print), JavaKafkaCluster)

    (folder / "cluster.json").unlink()
    (folder / "docker.json").write_text('{"port": 9092}')
    assert isinstance(await choose_broker(settings, report=print), DockerKafka)
    with pytest.raises(PrerequisiteError, match="1 node in Docker"):
        await choose_broker(settings, nodes=3, report=print)
    programs("docker", NO_ENGINE)
    with pytest.raises(PrerequisiteError, match="begun with Docker, and no Docker engine answers"):
        await choose_broker(settings, report=print)


async def test_security_settings_need_a_named_broker(settings: Settings) -> None:
    secured = settings.replace(kafka_security_protocol="SSL")
    with pytest.raises(SettingsError, match="needs STORE_UPTIME_KAFKA_BOOTSTRAP"):
        await choose_broker(secured, report=print)


async def test_a_running_broker_is_found_by_its_name_alone(settings: Settings) -> None:
    assert await choose.running_bootstrap(settings) is None
    named = settings.replace(kafka_bootstrap="kafka.example:9092")
    assert await choose.running_bootstrap(named) == "kafka.example:9092"
    folder = settings.data_dir / "kafka"
    folder.mkdir(parents=True)
    Cluster.new(1).save(settings.data_dir)
    assert await choose.running_bootstrap(settings) is None
