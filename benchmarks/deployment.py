"""Runs the product as it is deployed: a broker, one worker and one API, as separate processes."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
import time
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

import aiohttp

from benchmarks.disk import folder_bytes, topic_bytes
from benchmarks.errors import BenchmarkError
from benchmarks.processes import cpu_seconds, resident_megabytes, written_bytes
from stream_app.contracts.topics import FACTS_TABLE, STORE_STATUS, changelog
from stream_app.kafka.admin import ensure_topics
from stream_app.kafka.bootstrap import resolve_bootstrap
from stream_app.local.kafka.java_cluster import JavaKafkaCluster
from stream_app.local.processes.child import ChildProcess
from stream_app.local.processes.environment import environment_of
from stream_app.local.processes.ports import free_ports
from stream_app.setting_variables import PREFIX
from stream_app.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable
    from pathlib import Path

    from stream_app.local.kafka.node import KafkaNode

COMMAND: Final = (sys.executable, "-m", "stream_app.cli.main")
READY_SECONDS: Final = 120.0
_POLL_SECONDS: Final = 0.005

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CommandRun:
    """The measurements of a command that has ended.

    Attributes:
        started: time of its start (`perf_counter`).
        seconds: time from its start to its end.
        peak_megabytes: its largest resident memory.
        cpu: its CPU seconds.
        written_bytes: bytes that it wrote to the disk.
    """

    started: float
    seconds: float
    peak_megabytes: float
    cpu: float
    written_bytes: float


class Deployment:
    """A running product; `deployment` makes it."""

    def __init__(self, settings: Settings, kafka: JavaKafkaCluster) -> None:
        self.settings = settings
        self.kafka = kafka
        self.worker = self._process("worker", "worker", "--name", "worker")
        self.api = self._process("api", "api")

    @property
    def address(self) -> str:
        """Return the address of the API."""
        return f"http://{self.settings.api_host}:{self.settings.api_port}"

    @property
    def state_folder(self) -> Path:
        """Return the folder of the worker's databases."""
        return self.settings.data_dir / "workers" / "worker"

    @property
    def broker_folder(self) -> Path:
        """Return the folder of the broker's topics."""
        return self.settings.data_dir / "kafka"

    def bytes_on_disk(self) -> dict[str, float]:
        """Return the bytes of the polls' topic, of the changelog, and of the worker's databases."""
        return {
            "source_bytes": float(topic_bytes(self.broker_folder, STORE_STATUS.name)),
            "changelog_bytes": float(topic_bytes(self.broker_folder, changelog(FACTS_TABLE).name)),
            "state_bytes": float(folder_bytes(self.state_folder)),
        }

    def _process(self, name: str, *command: str) -> ChildProcess:
        return ChildProcess(
            name,
            [*COMMAND, *command],
            log_dir=self.settings.data_dir / "logs",
            environment=environment_of(self.settings, clean_environment()),
            stop_limit=40,
        )

    def another_worker(self, name: str) -> ChildProcess:
        """Return a further worker, which the caller starts and stops."""
        return self._process(name, "worker", "--name", name)

    def pids(self, *names: str) -> dict[str, int]:
        """Return the process ids of `worker`, `api` and `broker`, or of those in `names`."""
        pids = {
            "broker": self.kafka.node(1).pid,
            "worker": self.worker.pid,
            "api": self.api.pid,
        }
        return {
            name: pid
            for name, pid in pids.items()
            if pid is not None and (not names or name in names)
        }

    async def while_running(self, work: Awaitable[T], limit: float, what: str) -> T:
        """Wait for something that the processes do, and fail at once if one of them ends.

        Raises:
            BenchmarkError: a process ended, or `limit` seconds are over.
        """
        task = asyncio.ensure_future(work)
        children: list[ChildProcess | KafkaNode] = [self.worker, self.api, *self.kafka.nodes]
        ends: dict[asyncio.Future[Any], ChildProcess | KafkaNode] = {
            asyncio.ensure_future(child.wait()): child
            for child in children
            if child.pid is not None
        }
        try:
            done, _ = await asyncio.wait(
                {task, *ends}, timeout=limit, return_when=asyncio.FIRST_COMPLETED
            )
            if task in done:
                return task.result()
            for end in done:
                child = ends[end]
                raise BenchmarkError(f"{child.name} ended: {child.last_error_line()}")
            raise BenchmarkError(f"{what}: not within {limit:g} s")
        finally:
            for future in (task, *ends):
                future.cancel()
            await asyncio.gather(task, *ends, return_exceptions=True)

    async def wait_until_ready(self, limit: float = READY_SECONDS) -> float:
        """Wait until `/readyz` answers 200; return the time (`perf_counter`)."""
        return await self.while_running(self._ready(), limit, "ready")

    async def _ready(self) -> float:
        async with aiohttp.ClientSession(self.address) as session:
            while True:
                # the API may not listen yet
                with suppress(aiohttp.ClientError):
                    async with session.get("/readyz") as response:
                        if response.status == 200:
                            return time.perf_counter()
                await asyncio.sleep(_POLL_SECONDS)

    async def wait_for_log_line(
        self, pattern: str, *, since: int = 0, limit: float = READY_SECONDS
    ) -> float:
        """Wait for a line after `since` bytes of the worker's log; return its `perf_counter`."""
        return await self.while_running(self._log_line(pattern, since), limit, f"{pattern!r}")

    async def _log_line(self, pattern: str, since: int) -> float:
        while True:
            if self.worker.log.exists():
                with self.worker.log.open("rb") as log:
                    log.seek(since)
                    if re.search(pattern, log.read().decode(errors="replace")):
                        return time.perf_counter()
            await asyncio.sleep(_POLL_SECONDS)

    def log_bytes(self) -> int:
        """Return the size of the worker's log in bytes."""
        return self.worker.log.stat().st_size if self.worker.log.exists() else 0

    async def run(self, *arguments: str, limit: float = 600) -> CommandRun:
        """Run a command of the product to its end.

        Raises:
            BenchmarkError: it fails.
        """
        child = self._process(arguments[0], *arguments)
        started = time.perf_counter()
        await child.start()
        peak = cpu = written = 0.0
        try:
            async with asyncio.timeout(limit):
                while (pid := child.pid) is not None:
                    # the command may have just ended
                    with suppress(OSError, ValueError):
                        peak = max(peak, resident_megabytes(pid)[1])
                        cpu, written = cpu_seconds(pid), written_bytes(pid)
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            raise BenchmarkError(f"{arguments[0]} still runs after {limit:g} s") from None
        finally:
            await child.stop()
        seconds = time.perf_counter() - started
        if code := await child.wait():
            raise BenchmarkError(f"{arguments[0]} ended with {code}: {child.last_error_line()}")
        return CommandRun(started, seconds, peak, cpu, written)

    def remove_state(self) -> None:
        """Remove the worker's folder, as if its disk were lost. The worker must not run."""
        shutil.rmtree(self.state_folder)


def clean_environment() -> dict[str, str]:
    """Return this process's variables without the product's settings, which change the figures."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(PREFIX) or name == f"{PREFIX}CACHE_DIR"
    }


@asynccontextmanager
async def deployment(
    folder: Path, *, worker: bool = True, api: bool = True, **settings: Any
) -> AsyncIterator[Deployment]:
    """Yield a running product in a new folder; stop it and remove the folder after the block.

    Args:
        folder: a folder that does not exist yet.
        worker: whether a worker is started.
        api: whether an API process is started.
        settings: values of settings, as they are after parsing; the others have their defaults.
    """
    defaults: dict[str, Any] = {"data_dir": folder, "api_port": free_ports(1)[0]}
    parsed = Settings.from_environment(clean_environment(), **(defaults | settings))
    async with AsyncExitStack() as ends:
        ends.callback(shutil.rmtree, folder, ignore_errors=True)
        kafka = JavaKafkaCluster(folder, parsed.cache_dir, nodes=1)
        ends.push_async_callback(kafka.stop)
        started = await kafka.start(tied=True)
        parsed = resolve_bootstrap(parsed.replace(kafka_bootstrap=started.bootstrap))
        await ensure_topics(parsed)
        product = Deployment(parsed, kafka)
        ends.push_async_callback(product.api.stop)
        ends.push_async_callback(product.worker.stop)
        if worker:
            await product.worker.start()
        if api:
            await product.api.start()
        if worker and api:
            await product.wait_until_ready()
        elif worker:
            await product.wait_for_log_line(r"own partitions \d")
        yield product
