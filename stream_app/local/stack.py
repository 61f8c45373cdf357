"""Broker, workers and API as one process tree."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import aiohttp

from stream_app.data_dir import LOGS_FOLDER, RUN_FILE, RUN_LOCK
from stream_app.errors import BrokerUnavailableError, PrerequisiteError
from stream_app.kafka.admin import ensure_topics
from stream_app.kafka.bootstrap import resolve_bootstrap
from stream_app.local.kafka.choose import choose_broker
from stream_app.local.processes.child import ChildProcess
from stream_app.local.processes.environment import environment_of
from stream_app.local.processes.file_lock import locked
from stream_app.local.processes.files import make_private
from stream_app.local.processes.liveness import USUAL, Liveness
from stream_app.local.processes.ports import free_ports, require_free
from stream_app.local.processes.supervisor import Supervisor, ending
from stream_app.local.run_file import (
    RunFile,
    configured_address,
    running_stack_of,
    worker_address,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from stream_app.settings import Settings

_LOCK_LIMIT: Final = 0.5
_READY_PAUSE: Final = 0.2
_PATIENCE: Final = 15.0
_LAST_WORDS_SECONDS: Final = 3.0
_WORKER_STOP_LIMIT: Final = 30.0
_COMMAND: Final = (sys.executable, "-m", "stream_app.cli.main")


@dataclass(frozen=True, slots=True)
class Programs:
    """The programs of the stack, without their settings, which travel in the environment.

    Attributes:
        worker: program and arguments of a worker; `--name worker-N` follows.
        api: program and arguments of the API.
    """

    worker: tuple[str, ...] = (*_COMMAND, "worker")
    api: tuple[str, ...] = (*_COMMAND, "api")


@dataclass(frozen=True, slots=True)
class Stack:
    """A stack that is ready.

    Attributes:
        settings: the settings of all its processes: broker named, port of the API known.
        api: address of the API, such as `http://127.0.0.1:8000`.
        supervisor: keeps its processes running.
    """

    settings: Settings
    api: str
    supervisor: Supervisor

    async def run_for_ever(self) -> None:
        """Wait until cancelled, or until a process cannot be kept running.

        Raises:
            StoreUptimeError: with the name of that process and the last line of its log.
        """
        await self.supervisor.failure()


@asynccontextmanager
async def running_stack(
    settings: Settings,
    *,
    nodes: int | None = None,
    workers: int = 1,
    report: Callable[[str], None],
    programs: Programs | None = None,
    liveness: Liveness = USUAL,
) -> AsyncIterator[Stack]:
    """Start broker (unless one is named), topics, workers and API; yield when all is ready.

    Leaving the block stops the API, then the workers, then the broker. Whatever dies or freezes
    in between is started again. Must run in the main thread.

    Args:
        settings: `api_port` 0 takes any free port; `replication` above the number of nodes of a
            local broker is the caller's mistake.
        nodes: 1 or 3 nodes of a local broker; None for as many as the data dir has.
        workers: how many workers, each with its own folder.
        report: takes one line for the person at every step.
        programs: other programs than this product's, for tests.
        liveness: how often the processes are asked whether they are alive.

    Raises:
        PrerequisiteError: the data dir is in use, the port is in use, something to install.
        BrokerUnavailableError: the broker does not come up.
        SettingsError: a process does not take its settings.
    """
    settings = settings.replace(data_dir=settings.data_dir.expanduser().resolve())
    programs = programs or Programs()
    async with AsyncExitStack() as ends:
        make_private(settings.data_dir, report)
        await ends.enter_async_context(_sole_user(settings))
        settings = _with_api_port(settings)
        supervisor = Supervisor(report, liveness=liveness)
        settings = await _start_broker(settings, nodes, supervisor, report, ends)
        # registered after the broker's end, so that it runs before: API, workers, broker
        ends.push_async_callback(supervisor.stop)
        ends.callback(report, "stopping")
        created = await _create_topics(settings, supervisor)
        if created:
            report(f"created {created} topics")

        api = configured_address(settings)
        RunFile(os.getpid(), api, settings.kafka_bootstrap).save(settings.data_dir)
        ends.callback((settings.data_dir / RUN_FILE).unlink, missing_ok=True)
        await _start_processes(settings, workers, programs, supervisor, report)
        await _ready_or_failed(api, supervisor, report)
        supervisor.startup_complete()
        yield Stack(settings, api, supervisor)


@asynccontextmanager
async def _sole_user(settings: Settings) -> AsyncIterator[None]:
    data_dir = settings.data_dir
    running = running_stack_of(data_dir)
    who = f": process {running.pid}, {running.api}" if running else ""
    busy = f"`store-uptime up` is already running on the data dir {data_dir}{who}"
    async with locked(data_dir / RUN_LOCK, limit=_LOCK_LIMIT, busy=busy):
        # one that was left over from a crash must not speak for this run
        (data_dir / RUN_FILE).unlink(missing_ok=True)
        yield


def _with_api_port(settings: Settings) -> Settings:
    """Choose a port that is free, before anything is started."""
    if settings.api_port == 0:
        return settings.replace(api_port=free_ports(1)[0])
    require_free(
        settings.api_host,
        settings.api_port,
        "stop what listens there, or choose another with --api-port or STORE_UPTIME_API_PORT",
    )
    return settings


async def _start_broker(
    settings: Settings,
    nodes: int | None,
    supervisor: Supervisor,
    report: Callable[[str], None],
    ends: AsyncExitStack,
) -> Settings:
    broker = await choose_broker(settings, nodes=nodes, report=report)
    report(f"starting {broker.description}")
    started = await broker.start(tied=True)
    if not started.already_running:
        ends.push_async_callback(broker.stop)
        supervisor.watch(*broker.supervised())
    report(f"broker at {started.bootstrap}")
    if 0 < started.nodes < settings.replication:
        raise PrerequisiteError(
            f"STORE_UPTIME_REPLICATION={settings.replication} needs as many nodes, and the "
            f"local broker has {started.nodes}"
        )
    return resolve_bootstrap(settings.replace(kafka_bootstrap=started.bootstrap))


async def _create_topics(settings: Settings, supervisor: Supervisor) -> int:
    """Create the topics that are missing; return how many.

    Raises:
        BrokerUnavailableError: no broker answers; where one of ours has ended, with its reason.
    """
    try:
        return await ensure_topics(settings)
    except BrokerUnavailableError:
        for child in supervisor.children:
            # it may be about to end, and the last line of its log follows a little later
            with suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WORDS_SECONDS):
                    code = await child.wait()
                reason = f"{child.name} ended ({ending(code)}): {child.last_error_line()}"
                raise BrokerUnavailableError(f"{reason}; log: {child.log}") from None
        raise


async def _start_processes(
    settings: Settings,
    workers: int,
    programs: Programs,
    supervisor: Supervisor,
    report: Callable[[str], None],
) -> None:
    environment = environment_of(settings, os.environ)
    data_dir = settings.data_dir
    log_dir = data_dir / LOGS_FOLDER
    names = [f"worker-{number}" for number in range(1, workers + 1)]
    await supervisor.start(
        *(
            ChildProcess(
                name,
                [*programs.worker, "--name", name],
                log_dir=log_dir,
                environment=environment,
                stop_limit=_WORKER_STOP_LIMIT,
                health=partial(worker_address, data_dir, name),
            )
            for name in names
        )
    )
    await supervisor.start(
        ChildProcess(
            "api",
            programs.api,
            log_dir=log_dir,
            environment=environment,
            health=partial(configured_address, settings),
        )
    )
    report(f"started {', '.join(names)} and the API; logs in {log_dir}")


async def _ready_or_failed(api: str, supervisor: Supervisor, report: Callable[[str], None]) -> None:
    ready = asyncio.create_task(_until_ready(api, report))
    failure = asyncio.create_task(supervisor.failure())
    try:
        await asyncio.wait((ready, failure), return_when=asyncio.FIRST_COMPLETED)
        # a failure is raised here, before a readiness that came at the same time
        await (failure if failure.done() else ready)
    finally:
        for task in (ready, failure):
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task


async def _until_ready(api: str, report: Callable[[str], None]) -> None:
    """Wait without an end: reading large tables back takes its time; say so now and then."""
    clock = asyncio.get_running_loop().time
    next_word = clock() + _PATIENCE
    timeout = aiohttp.ClientTimeout(total=5)
    async with aiohttp.ClientSession(timeout=timeout, trust_env=False) as session:
        while True:
            try:
                async with session.get(f"{api}/readyz") as response:
                    if response.status == 200:
                        return
                    state = f"answers {response.status}"
            except (aiohttp.ClientError, TimeoutError):
                state = "does not answer yet"
            if clock() >= next_word:
                report(f"still starting: {api}/readyz {state}")
                next_word = clock() + _PATIENCE
            await asyncio.sleep(_READY_PAUSE)
