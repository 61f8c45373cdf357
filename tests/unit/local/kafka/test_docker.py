from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from stream_app.errors import BrokerUnavailableError
from stream_app.kafka.local_login import read_password
from stream_app.local.kafka import docker
from stream_app.local.kafka.docker import DockerKafka

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from stream_app.settings import Settings


@pytest.fixture
def calls(
    tmp_path: Path, programs: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> Callable[[], list[str]]:
    """Install a fake Docker that records its calls, and runs a container between up and down."""
    record = tmp_path / "docker-calls"
    runs = tmp_path / "container"
    programs("rm", f'exec {os.path.realpath("/bin/rm")} "$@"')
    programs(
        "docker",
        f"""echo "port=$KAFKA_HOST_PORT $* password=$KAFKA_CLIENT_PASSWORD" >> '{record}'
case "$*" in
*" up "*) touch '{runs}';;
*" ps "*) [ -e '{runs}' ] && echo 0123456789ab; exit 0;;
*" down") rm -f '{runs}';;
esac""",
    )

    async def answers(*_: object, **__: object) -> None:
        return

    monkeypatch.setattr(docker, "wait_until_answering", answers)
    return lambda: record.read_text().splitlines() if record.exists() else []


async def test_the_container_is_started_once_and_keeps_its_port(
    settings: Settings, calls: Callable[[], list[str]]
) -> None:
    started = await DockerKafka(settings.data_dir).start()
    port = started.bootstrap.removeprefix("127.0.0.1:")
    assert not started.already_running
    password = read_password(settings.data_dir)
    up = next(call for call in calls() if " up " in call)
    up, passed_password = up.rsplit(" password=", 1)
    assert passed_password == password
    assert len(password) == 32
    assert up.startswith(f"port={port} compose --project-name store-uptime-")
    assert f"--file {docker.compose_file()} up --detach" in up

    again = await DockerKafka(settings.data_dir).start()
    assert (again.bootstrap, again.already_running) == (started.bootstrap, True)
    assert sum(" up " in call for call in calls()) == 1

    assert await DockerKafka(settings.data_dir).stop()
    assert " down password=" in calls()[-1], "without --volumes: the data stays"
    assert not await DockerKafka(settings.data_dir).stop()
    assert (await DockerKafka(settings.data_dir).start()).bootstrap == started.bootstrap


@pytest.mark.usefixtures("calls")
async def test_a_port_in_use_by_another_program_is_replaced(settings: Settings) -> None:
    broker = DockerKafka(settings.data_dir)
    first = (await broker.start()).bootstrap
    await broker.stop()
    with socket.create_server(("127.0.0.1", int(first.rpartition(":")[2]))):
        assert (await broker.start()).bootstrap != first


def test_every_data_folder_has_its_own_project(tmp_path: Path) -> None:
    projects = {DockerKafka(tmp_path / name).project for name in ("a", "b")}
    assert len(projects) == 2
    assert DockerKafka(tmp_path / "a").project in projects


async def test_dockers_reason_is_passed_on(
    settings: Settings, programs: Callable[[str, str], Path]
) -> None:
    programs("docker", 'case "$*" in *" up "*) echo "no space left" >&2; exit 1;; esac')
    with pytest.raises(BrokerUnavailableError, match="Docker cannot start Kafka: no space left"):
        await DockerKafka(settings.data_dir).start()
