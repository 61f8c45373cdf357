"""The product as it is deployed: a broker, workers and an API, each a process that can be hurt."""

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
"""What a worker says when it has partitions, and when it has all of them."""

OWNS_ALL: Final = "own partitions 0, 1, 2, 3, 4, 5, 6, 7"
ASSIGNED: Final = "assigned partitions"
"""What a worker says when a rebalance ends, and its restore begins."""


_PARTITIONS: Final = r": (assigned|own) partitions (none|\d[\d, ]*)"

FENCED: Final = "this worker ends: another worker has taken over its partitions"

READY_SECONDS: Final = 120.0
SAID_SECONDS: Final = 60.0
_STOP_LIMIT: Final = 40.0
_LOOK: Final = 0.05
_LONGEST_PAUSE: Final = 2.0
_PORTS_TO_TRY: Final = 5


class Process:
    """A worker or an API process, kept running as `store-uptime up` keeps it, and hurt by name.

    An end that the scenario did not bring about by `kill` or `stop`, or allow by `may_end`, is
    unexpected: a process that crashes and is started again and again does not pass unseen.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log_dir: Path,
        environment: dict[str, str],
        say: Callable[[str], None],
    ) -> None:
        self._child = ChildProcess(
            name,
            command,
            log_dir=log_dir,
            environment=environment,
            stop_limit=_STOP_LIMIT,
        )
        self._say = say
        self._supervisor: Supervisor | None = None
        self._read_from = 0
        self._ends = 0
        self._killed = 0
        self._excuses: dict[str, int] = {}

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
        excused = sum(
            len(self._lines(pattern, since=since)) for pattern, since in self._excuses.items()
        )
        return max(0, self._ends - self._killed - excused)

    def _heard(self, line: str) -> None:
        if line.startswith(f"{self.name} ended"):
            self._ends += 1
        self._say(line)

    async def start(self) -> None:
        """Start it and keep it running."""
        assert self._supervisor is None, f"{self.name} runs already"
        self._supervisor = Supervisor(self._heard, longest_pause=_LONGEST_PAUSE)
        self._supervisor.startup_complete()
        await self._supervisor.start(self._child)

    async def stop(self) -> int | None:
        """SIGTERM, and nobody starts it again; its exit code."""
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is not None:
            await supervisor.stop()
        await self._child.stop()
        return await self._child.wait()

    async def kill(self) -> None:
        """SIGKILL; it is started again a second later."""
        self._killed += 1
        self.signal(signal.SIGKILL)

    def signal(self, number: signal.Signals) -> None:
        pid = self._child.pid
        assert pid is not None, f"{self.name} does not run"
        os.kill(pid, number)

    def pause(self) -> None:
        """Freeze it: it answers nobody, and goes on after `resume` as if nothing had been."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    def may_end(self, pattern: str) -> None:
        """From now on it may end by itself, once for every line of its log that matches."""
        self._excuses.setdefault(pattern, self.log_size)

    def mark(self) -> None:
        """`said` and `wait_until_said` begin here from now on."""
        self._read_from = self.log_size

    def said(self, pattern: str, *, since: int | None = None) -> list[str]:
        """The lines of its log since the last `mark`, or a `log_size` of before, that match."""
        return self._lines(pattern, since=self._read_from if since is None else since)

    async def wait_until_said(
        self, pattern: str, limit: float = SAID_SECONDS, *, since: int | None = None
    ) -> str:
        """The first such line, once it is there."""
        try:
            async with asyncio.timeout(limit):
                while not (found := self.said(pattern, since=since)):  # noqa: ASYNC110  a file tells nobody
                    await asyncio.sleep(_LOOK)
        except TimeoutError:
            raise AssertionError(f"{self.name} did not say {pattern!r} in {limit:g} s") from None
        return found[0]

    async def run_to_its_end(self, limit: float = SAID_SECONDS) -> int | None:
        """Start it, and nobody starts it again; its exit code, -N for signal N."""
        await self._child.start()
        try:
            async with asyncio.timeout(limit):
                return await self._child.wait()
        except TimeoutError:
            raise AssertionError(f"{self.name} still runs after {limit:g} s") from None

    @property
    def begun_at(self) -> int:
        """Where the lines of the process that runs now begin in its log."""
        return self._child._log_start.size

    @property
    def log_size(self) -> int:
        """How long its log is: a place in it to look for lines from."""
        return self.log.stat().st_size if self.log.exists() else 0

    def _lines(self, pattern: str, *, since: int) -> list[str]:
        if not self.log.exists():
            return []
        with self.log.open("rb") as log:
            log.seek(since)
            lines = log.read().decode(errors="replace").splitlines()
        return [line for line in lines if re.search(pattern, line)]


def owns_assigned(worker: Process) -> bool:
    """Whether a worker says that it owns just those partitions that it was assigned last."""
    told = _told(worker)
    return told["assigned"] is not None and told["assigned"] == told["own"]


def owned_by(worker: Process) -> set[int]:
    """The partitions that a worker says it owns, of those that it was assigned last."""
    told = _told(worker)
    return (told["assigned"] or set()) & (told["own"] or set())


def _told(worker: Process) -> dict[str, set[int] | None]:
    """What a worker said last of its partitions, since its process began."""
    told: dict[str, set[int] | None] = {"assigned": None, "own": set()}
    for line in worker.said(_PARTITIONS, since=worker.begun_at):
        if match := re.search(_PARTITIONS, line):
            told[match[1]] = set(map(int, re.findall(r"\d+", match[2])))
    return told


class Deployment:
    """Broker, workers and API of one scenario; made by `deployment`."""

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
        """Where a worker keeps its databases."""
        return self.settings.data_dir / "workers" / name

    def _process(self, name: str, *command: str, program: Sequence[str] = COMMAND) -> Process:
        return Process(
            name,
            [*program, *command],
            log_dir=self.log_dir,
            environment=environment_of(self.settings, os.environ),
            say=self.lines.append,
        )

    def new_worker(self, name: str, *, program: Sequence[str] = COMMAND) -> Process:
        """A worker that is not started yet; another program than the product's may be given."""
        self.workers[name] = self._process(name, "worker", "--name", name, program=program)
        return self.workers[name]

    async def add_worker(self, name: str) -> Process:
        """Start one more worker."""
        worker = self.new_worker(name)
        await worker.start()
        return worker

    async def remove_worker(self, name: str) -> int | None:
        """SIGTERM to a worker, for good; its exit code."""
        return await self.workers.pop(name).stop()

    async def ready(self, limit: float = READY_SECONDS) -> None:
        """Wait until `/readyz` answers 200."""
        try:
            async with asyncio.timeout(limit):
                while (answer := await self.readiness()) != "ready":  # noqa: ASYNC110  over HTTP
                    await asyncio.sleep(_LOOK)
        except TimeoutError:
            raise AssertionError(f"not ready after {limit:g} s: {answer}") from None

    async def readiness(self) -> str:
        """`ready`, or what stands in the way, in words."""
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
        """SIGTERM to all at once."""
        await asyncio.gather(*(worker.stop() for worker in self.workers.values()))

    async def start_workers(self) -> None:
        for worker in self.workers.values():
            await worker.start()

    async def rebuild(self) -> None:
        """Throw away what the workers keep, so that the changelog alone says what is known."""
        await self.stop_workers()
        for name in self.workers:
            shutil.rmtree(self.worker_folder(name), ignore_errors=True)
        await self.start_workers()
        await self.ready()

    def check_nothing_crashed(self) -> None:
        """Every process that runs, runs since the scenario made it, and none was ended early."""
        crashed = {p.name: p.unexpected_ends for p in self.processes if p.unexpected_ends}
        assert not crashed, f"ended without being told to: {crashed}\n" + "\n".join(self.lines)

    def tail(self, lines: int = 60) -> str:
        """The end of every log, for a person who looks for the cause of a failure."""
        parts = ["--- supervisor", *self.lines]
        for path in sorted(self.log_dir.glob("*.log")):
            parts += [f"--- {path}", *path.read_text(errors="replace").splitlines()[-lines:]]
        return "\n".join(parts)

    async def start(self) -> None:
        """Start API and workers."""
        await self.start_workers()
        await self.api.start()
        await self.shared_out()

    async def start_api_on_a_free_port(self) -> None:
        """Start the API for the first time.

        Its port was free when it was chosen. Where another program of the machine has bound it
        since, the API is started again on another port.
        """
        for _ in range(_PORTS_TO_TRY):
            await self.api.start()
            line = await self.api.wait_until_said("listening on|cannot listen on", READY_SECONDS)
            if "cannot listen on" not in line:
                return
            await self.api.stop()
            self.settings = self.settings.replace(api_port=free_ports(1)[0])
            self.api = self._process("api", "api")
            self.api.mark()
        raise AssertionError(f"{_PORTS_TO_TRY} ports that were free had been bound a moment later")

    async def shared_out(self) -> None:
        """Wait until every worker owns partitions: the first alone is ready while others join."""
        for worker in self.workers.values():
            await worker.wait_until_said(OWNS, READY_SECONDS)
        await self.ready()

    async def settled(self, limit: float = READY_SECONDS) -> None:
        """Wait until every worker owns what it was assigned last, and `/readyz` answers 200."""
        try:
            async with asyncio.timeout(limit):
                while unsettled := [w.name for w in self.workers.values() if not owns_assigned(w)]:  # noqa: ASYNC110  a file tells nobody
                    await asyncio.sleep(_LOOK * 4)
        except TimeoutError:
            raise AssertionError(
                f"these do not own what they are assigned after {limit:g} s: {unsettled}"
            ) from None
        await self.ready()

    async def stop(self) -> None:
        """Stop API and workers."""
        await asyncio.gather(*(process.stop() for process in self.processes))

    async def copy_broker(self, backup: Path) -> None:
        """A backup of the broker; it is stopped for it."""
        await self.kafka.stop()
        await asyncio.to_thread(shutil.copytree, self._broker_folder, backup)
        await self.kafka.start(tied=True)

    async def put_broker_back(self, backup: Path) -> None:
        """Make the broker what it was at its backup."""
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
    begin_as: Path | None = None,
    **settings: Any,
) -> AsyncIterator[Deployment]:
    """A running product in a folder of its own; everything has ended when the block is left.

    Args:
        data_dir: an empty folder.
        workers: how many; their names are `worker-1`, `worker-2`, ...
        nodes: of the broker, 1 or 3.
        begin_as: a folder that a deployment of as many nodes has left; broker and worker folders
            begin as copies of what it holds.
        settings: parsed values of settings other than the scenarios' usual ones.
    """
    defaults: dict[str, Any] = {
        "data_dir": data_dir,
        "api_port": free_ports(1)[0],
        "replication": nodes,
        "report_deadline": 30_000_000,
    }
    given = Settings.from_environment(os.environ, **(defaults | settings))
    if begin_as is not None:
        for folder in ("kafka", "workers"):
            await asyncio.to_thread(shutil.copytree, begin_as / folder, data_dir / folder)
    async with AsyncExitStack() as ends:
        kafka = JavaKafkaCluster(data_dir, given.cache_dir, nodes=nodes)
        ends.push_async_callback(kafka.stop)
        started = await kafka.start(tied=True)
        given = resolve_bootstrap(given.replace(kafka_bootstrap=started.bootstrap))
        await ensure_topics(given)
        product = Deployment(given, kafka)
        ends.push_async_callback(product.stop)
        try:
            for number in range(1, workers + 1):
                await product.add_worker(f"worker-{number}")
            await product.start_api_on_a_free_port()
            await product.shared_out()
            yield product
        except BaseException:
            print(product.tail())
            raise
