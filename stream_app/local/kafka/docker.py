"""The broker of docker-compose.kafka.yml, started and stopped for one data dir."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stream_app.authority import LOOPBACK
from stream_app.data_dir import DOCKER_FILE, KAFKA_FOLDER
from stream_app.errors import BrokerUnavailableError, PrerequisiteError
from stream_app.kafka.local_login import read_password
from stream_app.local.kafka.broker import BrokerStatus, StartedBroker
from stream_app.local.kafka.jars import KAFKA_VERSION
from stream_app.local.kafka.password import make_password
from stream_app.local.kafka.readiness import answering_nodes, wait_until_answering
from stream_app.local.processes.file_lock import locked
from stream_app.local.processes.files import make_folder, write_whole
from stream_app.local.processes.ports import free_ports, is_free
from stream_app.local.processes.run_program import ProgramResult, run_program

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

COMPOSE_FILE: Final = "docker-compose.kafka.yml"

_ENGINE_LIMIT: Final = 5.0
_PULL_LIMIT: Final = 900.0
_COMMAND_LIMIT: Final = 120.0
_READY_LIMIT: Final = 90.0


async def docker_problem() -> str | None:
    """Find out why Docker cannot be used here; None if it can."""
    docker = shutil.which("docker")
    if docker is None:
        return "there is no docker"
    engine = await run_program(
        docker, "info", "--format", "{{.ServerVersion}}", limit=_ENGINE_LIMIT
    )
    if not engine.ok or not engine.output.strip():
        return "no Docker engine answers"
    compose = await run_program(docker, "compose", "version", limit=_ENGINE_LIMIT)
    return None if compose.ok else "docker has no compose"


def compose_file() -> Path:
    """Return the compose file: beside this module in an installed package, else in the checkout."""
    packaged = Path(__file__).with_name(COMPOSE_FILE)
    return packaged if packaged.exists() else Path(__file__).parents[3] / COMPOSE_FILE


class DockerKafka:
    """One node in a container; its data is in a volume named after the data dir.

    Docker runs the container, so the container goes on when the launcher is killed. The next start
    uses it.

    Args:
        data_dir: folder of all state; it also stores the port.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir.expanduser().resolve()
        self._folder = self._data_dir / KAFKA_FOLDER
        digest = hashlib.sha256(str(self._data_dir).encode()).hexdigest()
        self.project = f"store-uptime-{digest[:10]}"

    @property
    def description(self) -> str:
        """Return the name for people, such as `Kafka 4.3.1 in Docker`."""
        return f"Kafka {KAFKA_VERSION} in Docker"

    def supervised(self) -> tuple[()]:
        """List no process: Docker keeps the container running."""
        return ()

    async def prepare(self, report: Callable[[str], None]) -> None:
        """Pull the image if Docker does not have it.

        Args:
            report: gets one line for the person if the image is pulled.

        Raises:
            PrerequisiteError: it cannot be pulled; the message has Docker's reason.
        """
        image = await self._compose("config", "--images", limit=_COMMAND_LIMIT)
        name = image.output.strip()
        if name and (await self._docker("image", "inspect", name, limit=_COMMAND_LIMIT)).ok:
            return
        report(f"pulling {self.description}")
        pulled = await self._compose("pull", "--quiet", limit=_PULL_LIMIT)
        if not pulled.ok:
            raise PrerequisiteError(f"Docker cannot pull Kafka's image: {_reason(pulled)}")

    async def start(self, *, tied: bool = True) -> StartedBroker:  # noqa: ARG002 - never tied
        """Start the container if it does not run, and wait until the broker answers.

        Raises:
            PrerequisiteError: the image cannot be pulled, or another process starts or stops it.
            BrokerUnavailableError: the container does not come up.
        """
        async with self._locked():
            already_running = await self._is_running()
            port = self._port()
            if not already_running:
                if port is None or not is_free(port):
                    (port,) = free_ports(1)
                self._save_port(port)
                make_password(self._data_dir)
                up = await self._compose("up", "--detach", limit=_PULL_LIMIT)
                if not up.ok:
                    raise BrokerUnavailableError(f"Docker cannot start Kafka: {_reason(up)}")
            bootstrap = f"{LOOPBACK}:{port}"
            await wait_until_answering(
                bootstrap, 1, read_password(self._data_dir), limit=_READY_LIMIT
            )
        return StartedBroker(bootstrap, 1, already_running)

    async def stop(self) -> bool:
        """Stop and remove the container, and return True if it ran; its volume stays.

        Raises:
            BrokerUnavailableError: Docker cannot stop it.
        """
        if self._port() is None:
            return False
        async with self._locked():
            running = await self._is_running()
            down = await self._compose("down", limit=_COMMAND_LIMIT)
            if not down.ok:
                raise BrokerUnavailableError(f"Docker cannot stop Kafka: {_reason(down)}")
        return running

    async def status(self) -> BrokerStatus:
        """Ask whether the container runs and the broker answers."""
        port = self._port()
        if port is None:
            return BrokerStatus(running=False, bootstrap="", detail="never started")
        bootstrap = f"{LOOPBACK}:{port}"
        if not await self._is_running():
            return BrokerStatus(running=False, bootstrap=bootstrap, detail="not running")
        alive = await answering_nodes(bootstrap, read_password(self._data_dir))
        detail = "1 of 1 nodes run and answer" if alive else "its container runs, nobody answers"
        return BrokerStatus(running=alive > 0, bootstrap=bootstrap, detail=detail)

    def _locked(self) -> AbstractAsyncContextManager[None]:
        busy = f"another process is starting or stopping the broker in {self._folder}"
        return locked(self._folder / "lock", limit=_PULL_LIMIT, busy=busy)

    def _port(self) -> int | None:
        try:
            return int(
                json.loads((self._data_dir / DOCKER_FILE).read_text(encoding="utf-8"))["port"]
            )
        except (OSError, ValueError, KeyError, TypeError):
            # the port of the last start is unknown; `start` chooses another one
            return None

    def _save_port(self, port: int) -> None:
        stored = {"project": self.project, "port": port, "bootstrap": f"{LOOPBACK}:{port}"}
        make_folder(self._folder)
        write_whole(self._data_dir / DOCKER_FILE, json.dumps(stored) + "\n")

    async def _is_running(self) -> bool:
        answer = await self._compose("ps", "--status", "running", "--quiet", limit=_COMMAND_LIMIT)
        return answer.ok and bool(answer.output.strip())

    async def _compose(self, *arguments: str, limit: float) -> ProgramResult:
        project = ("--project-name", self.project, "--file", str(compose_file()))
        return await self._docker("compose", *project, *arguments, limit=limit)

    async def _docker(self, *arguments: str, limit: float) -> ProgramResult:
        environment = dict(os.environ)
        port = self._port()
        if port is not None:
            environment["KAFKA_HOST_PORT"] = str(port)
        environment["KAFKA_CLIENT_PASSWORD"] = read_password(self._data_dir) or ""
        return await run_program("docker", *arguments, limit=limit, environment=environment)


def _reason(finished: ProgramResult) -> str:
    lines = [line.strip() for line in finished.errors.splitlines() if line.strip()]
    return lines[-1] if lines else f"exit code {finished.code}"
