"""Runs the product as it is deployed: a broker, workers and an API are processes of their own."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from stream_app.kafka.admin import ensure_topics
from stream_app.kafka.bootstrap import resolve_bootstrap
from stream_app.local.kafka.java_cluster import JavaKafkaCluster
from stream_app.local.processes.child import ChildProcess
from stream_app.local.processes.environment import environment_of
from stream_app.local.processes.ports import free_ports
from stream_app.local.processes.supervisor import Supervisor
from stream_app.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

COMMAND: Final = (sys.executable, "-m", "stream_app.cli.main")
OWNS: Final = r"own partitions \d"
"""A worker logs this when it owns at least one partition."""

OWNS_ALL: Final = "own partitions 0, 1, 2, 3, 4, 5, 6, 7"
"""A worker logs this when it owns all partitions."""

ASSIGNED: Final = "assigned partitions"
"""A worker logs this when a rebalance has ended and its restore begins."""


_PARTITIONS: Final = r": (assigned|own) partitions (none|\d[\d, ]*)"

FENCED: Final = "this worker ends: another worker has taken over its partitions"

READY_SECONDS: Final = 120.0
LOG_LINE_SECONDS: Final = 60.0
_STOP_LIMIT: Final = 40.0
_CHECK_SECONDS: Final = 0.05
_LONGEST_PAUSE: Final = 2.0
_PORTS_TO_TRY: Final = 5


class Process:
    """A worker or an API process that is started again after its end, as `store-uptime up` does.

    An end is unexpected unless the scenario caused it by `kill` or `stop`, or allowed it by
    `may_end`. So a process that crashes and is started again and again fails the scenario.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log_dir: Path,
        environment: dict[str, str],
        report: Callable[[str], None],
    ) -> None:
        self._child = ChildProcess(
            name,
            command,
            log_dir=log_dir,
            environment=environment,
            stop_limit=_STOP_LIMIT,
        )
        self._report = report
        self._supervisor: Supervisor | None = None
        self._read_from = 0
        self._ends = 0
        self._killed = 0
        self._allowed_ends: dict[str, int] = {}

    @property
    def name(self) -> str:
        return self._child.name

    @property
    def log(self) -> Path:
        return self._child.log

    @property
    def running(self) -> bool:
        return self._child.pid is not None

    @property
    def unexpected_ends(self) -> int:
        allowed = sum(
            len(self._lines(pattern, since=since)) for pattern, since in self._allowed_ends.items()
        )
        return max(0, self._ends - self._killed - allowed)

    def _on_line(self, line: str) -> None:
        if line.startswith(f"{self.name} ended"):
            self._ends += 1
        self._report(line)

    async def start(self) -> None:
        """Start the process, and start it again whenever it ends."""
        assert self._supervisor is None, f"{self.name} runs already"
        self._supervisor = Supervisor(self._on_line, longest_pause=_LONGEST_PAUSE)
        self._supervisor.startup_complete()
        await self._supervisor.start(self._child)

    async def stop(self) -> int | None:
        """End the process with SIGTERM, start it no more, and return its exit code."""
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is not None:
            await supervisor.stop()
        await self._child.stop()
        return await self._child.wait()

    async def kill(self) -> None:
        """Send SIGKILL; the supervisor starts the process again a second later."""
        self._killed += 1
        self.signal(signal.SIGKILL)

    def signal(self, number: signal.Signals) -> None:
        pid = self._child.pid
        assert pid is not None, f"{self.name} does not run"
        os.kill(pid, number)

    def pause(self) -> None:
        """Freeze the process with SIGSTOP: it does nothing until `resume`, and then continues."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    def may_end(self, pattern: str) -> None:
        """Allow the process to end by itself from now on, once for each log line that matches."""
        self._allowed_ends.setdefault(pattern, self.log_size)

    def mark(self) -> None:
        """Let `logged` and `wait_until_logged` see only lines that are logged from now on."""
        self._read_from = self.log_size

    def logged(self, pattern: str, *, since: int | None = None) -> list[str]:
        """Return the log lines that match, since the last `mark` or an earlier `log_size`."""
        return self._lines(pattern, since=self._read_from if since is None else since)

    async def wait_until_logged(
        self, pattern: str, limit: float = LOG_LINE_SECONDS, *, since: int | None = None
    ) -> str:
        """Wait for a log line that matches, and return the first one."""
        try:
            async with asyncio.timeout(limit):
                while not (lines := self.logged(pattern, since=since)):  # noqa: ASYNC110  a file has no event
                    await asyncio.sleep(_CHECK_SECONDS)
        except TimeoutError:
            raise AssertionError(f"{self.name} did not log {pattern!r} in {limit:g} s") from None
        return lines[0]

    async def run_to_its_end(self, limit: float = LOG_LINE_SECONDS) -> int | None:
        """Start the process once, and return its exit code at its end: -N after signal N."""
        await self._child.start()
        try:
            async with asyncio.timeout(limit):
                return await self._child.wait()
        except TimeoutError:
            raise AssertionError(f"{self.name} still runs after {limit:g} s") from None

    @property
    def log_start(self) -> int:
        """Return the size that the log had when the running process was started."""
        return self._child._log_start.offset

    @property
    def log_size(self) -> int:
        """Return the size of the log in bytes, from which later lines can be looked for."""
        return self.log.stat().st_size if self.log.exists() else 0

    def _lines(self, pattern: str, *, since: int) -> list[str]:
        if not self.log.exists():
            return []
        with self.log.open("rb") as log:
            log.seek(since)
            lines = log.read().decode(errors="replace").splitlines()
        return [line for line in lines if re.search(pattern, line)]


def owns_assigned(worker: Process) -> bool:
    """Return True if a worker's log says that it owns exactly the partitions of its assignment."""
    partitions = _logged_partitions(worker)
    return partitions["assigned"] is not None and partitions["assigned"] == partitions["own"]


def owned_by(worker: Process) -> set[int]:
    """Return the partitions of a worker's assignment that it owns, by its log."""
    partitions = _logged_partitions(worker)
    return (partitions["assigned"] or set()) & (partitions["own"] or set())


def _logged_partitions(worker: Process) -> dict[str, set[int] | None]:
    """Return the partitions that a worker's process logged last as assigned and as own."""
    partitions: dict[str, set[int] | None] = {"assigned": None, "own": set()}
    for line in worker.logged(_PARTITIONS, since=worker.log_start):
        if match := re.search(_PARTITIONS, line):
            partitions[match[1]] = set(map(int, re.findall(r"\d+", match[2])))
    return partitions


class Deployment:
    """The broker, the workers and the API of one scenario; `deployment` makes it."""

    def __init__(self, settings: Settings, kafka: JavaKafkaCluster) -> None:
        self.settings = settings
        self.kafka = kafka
        self.lines: list[str] = []
        self.workers: dict[str, Process] = {}
        self.api = self._process("api", "api")

    @property
    def address(self) -> str:
        return f"http://{self.settings.api_host}:{self.settings.api_port}"

    @property
    def log_dir(self) -> Path:
        return self.settings.data_dir / "logs"

    @property
    def processes(self) -> list[Process]:
        return [*self.workers.values(), self.api]

    def worker_folder(self, name: str) -> Path:
        """Return the folder of a worker's databases."""
        return self.settings.data_dir / "workers" / name

    def _process(self, name: str, *command: str, program: Sequence[str] = COMMAND) -> Process:
        return Process(
            name,
            [*program, *command],
            log_dir=self.log_dir,
            environment=environment_of(self.settings, os.environ),
            report=self.lines.append,
        )

    def new_worker(self, name: str, *, program: Sequence[str] = COMMAND) -> Process:
        """Add a worker that is not started yet; `program` is run instead of the product's."""
        self.workers[name] = self._process(name, "worker", "--name", name, program=program)
        return self.workers[name]

    async def add_worker(self, name: str) -> Process:
        """Start one more worker."""
        worker = self.new_worker(name)
        await worker.start()
        return worker

    async def remove_worker(self, name: str) -> int | None:
        """End a worker for good with SIGTERM, and return its exit code."""
        return await self.workers.pop(name).stop()

    async def wait_until_ready(self, limit: float = READY_SECONDS) -> None:
        """Wait until `/readyz` answers 200."""
        try:
            async with asyncio.timeout(limit):
                while (answer := await self.readiness()) != "ready":  # noqa: ASYNC110  over HTTP
                    await asyncio.sleep(_CHECK_SECONDS)
        except TimeoutError:
            raise AssertionError(f"not ready after {limit:g} s: {answer}") from None

    async def readiness(self) -> str:
        """Return `ready`, or the reason why the product is not ready."""
        timeout = aiohttp.ClientTimeout(total=10)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(f"{self.address}/readyz") as response,
            ):
                content: dict[str, Any] = await response.json(content_type=None)
                return "ready" if response.status == 200 else str(content["detail"])
        except (aiohttp.ClientError, TimeoutError) as error:
            return f"no answer: {error!r}"

    async def stop_workers(self) -> None:
        """Stop all workers at the same time."""
        await asyncio.gather(*(worker.stop() for worker in self.workers.values()))

    async def start_workers(self) -> None:
        for worker in self.workers.values():
            await worker.start()

    async def rebuild(self) -> None:
        """Start the workers with empty disks, so that they restore all facts from the changelog."""
        await self.stop_workers()
        for name in self.workers:
            shutil.rmtree(self.worker_folder(name), ignore_errors=True)
        await self.start_workers()
        await self.wait_until_ready()

    def check_nothing_crashed(self) -> None:
        """Fail if a process has ended by itself."""
        crashed = {p.name: p.unexpected_ends for p in self.processes if p.unexpected_ends}
        assert not crashed, f"ended by themselves: {crashed}\n" + "\n".join(self.lines)

    def tail(self, lines: int = 60) -> str:
        """Return the last lines of every log, for a person who looks for the cause of a failure."""
        parts = ["--- supervisor", *self.lines]
        for path in sorted(self.log_dir.glob("*.log")):
            parts += [f"--- {path}", *path.read_text(errors="replace").splitlines()[-lines:]]
        return "\n".join(parts)

    async def start(self) -> None:
        """Start the workers and the API."""
        await self.start_workers()
        await self.api.start()
        await self.wait_until_all_own()

    async def start_api_on_a_free_port(self) -> None:
        """Start the API for the first time.

        Its port was free when it was chosen. Where another program of the machine has bound it
        since, the API is started again on another port.
        """
        for _ in range(_PORTS_TO_TRY):
            await self.api.start()
            line = await self.api.wait_until_logged("listening on|cannot listen on", READY_SECONDS)
            if "cannot listen on" not in line:
                return
            await self.api.stop()
            self.settings = self.settings.replace(api_port=free_ports(1)[0])
            self.api = self._process("api", "api")
            self.api.mark()
        raise AssertionError(f"{_PORTS_TO_TRY} ports that were free had been bound a moment later")

    async def wait_until_all_own(self) -> None:
        """Wait until every worker owns partitions.

        `/readyz` alone does not tell: it answers 200 while one worker owns all of them and the
        others still join.
        """
        for worker in self.workers.values():
            await worker.wait_until_logged(OWNS, READY_SECONDS)
        await self.wait_until_ready()

    async def wait_until_settled(self, limit: float = READY_SECONDS) -> None:
        """Wait until every worker owns its assignment, and `/readyz` answers 200."""
        try:
            async with asyncio.timeout(limit):
                while unsettled := [w.name for w in self.workers.values() if not owns_assigned(w)]:  # noqa: ASYNC110  a file has no event
                    await asyncio.sleep(_CHECK_SECONDS * 4)
        except TimeoutError:
            raise AssertionError(
                f"these do not own their assignment after {limit:g} s: {unsettled}"
            ) from None
        await self.wait_until_ready()

    async def stop(self) -> None:
        """Stop the workers and the API."""
        await asyncio.gather(*(process.stop() for process in self.processes))

    async def copy_broker(self, backup: Path) -> None:
        """Back the broker's folder up, while the broker is stopped for a moment."""
        await self.kafka.stop()
        await asyncio.to_thread(shutil.copytree, self._broker_folder, backup)
        await self.kafka.start(tied=True)

    async def put_broker_back(self, backup: Path) -> None:
        """Restore the broker's folder from its backup."""
        await self.kafka.stop()
        await asyncio.to_thread(shutil.rmtree, self._broker_folder)
        await asyncio.to_thread(shutil.copytree, backup, self._broker_folder)
        await self.kafka.start(tied=True)

    @property
    def _broker_folder(self) -> Path:
        return self.settings.data_dir / "kafka"


@asynccontextmanager
async def deployment(
    data_dir: Path,
    *,
    workers: int = 2,
    nodes: int = 1,
    copy_of: Path | None = None,
    **settings: Any,
) -> AsyncIterator[Deployment]:
    """Run a product in a folder of its own; all its processes have ended when the block is left.

    Args:
        data_dir: an empty folder.
        workers: the number of workers; their names are `worker-1`, `worker-2`, ...
        nodes: the number of Kafka nodes, 1 or 3.
        copy_of: the data folder of an earlier deployment with as many nodes; the folders of the
            broker and of the workers are copied from there.
        settings: parsed values of settings that differ from the usual ones of the scenarios.
    """
    defaults: dict[str, Any] = {
        "data_dir": data_dir,
        "api_port": free_ports(1)[0],
        "replication": nodes,
        "report_deadline": 30_000_000,
    }
    parsed = Settings.from_environment(os.environ, **(defaults | settings))
    if copy_of is not None:
        for folder in ("kafka", "workers"):
            await asyncio.to_thread(shutil.copytree, copy_of / folder, data_dir / folder)
    async with AsyncExitStack() as ends:
        kafka = JavaKafkaCluster(data_dir, parsed.cache_dir, nodes=nodes)
        ends.push_async_callback(kafka.stop)
        started = await kafka.start(tied=True)
        parsed = resolve_bootstrap(parsed.replace(kafka_bootstrap=started.bootstrap))
        await ensure_topics(parsed)
        product = Deployment(parsed, kafka)
        ends.push_async_callback(product.stop)
        try:
            for number in range(1, workers + 1):
                await product.add_worker(f"worker-{number}")
            await product.start_api_on_a_free_port()
            await product.wait_until_all_own()
            yield product
        except BaseException:
            print(product.tail())
            raise
