"""Runs broker, workers and API as one process tree."""

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
from stream_app.local.processes.liveness import DEFAULT_LIVENESS, Liveness
from stream_app.local.processes.ports import free_ports, require_free
from stream_app.local.processes.supervisor import Supervisor, describe_exit
from stream_app.local.run_file import (
    RunFile,
    configured_address,
    running_stack_of,
    worker_address,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from stream_app.settings import Settings

_LOCK_SECONDS: Final = 0.5
_READY_POLL_SECONDS: Final = 0.2
_PROGRESS_SECONDS: Final = 15.0
_EXIT_WAIT_SECONDS: Final = 3.0
_WORKER_STOP_SECONDS: Final = 30.0
_COMMAND: Final = (sys.executable, "-m", "stream_app.cli.main")


@dataclass(frozen=True, slots=True)
class Programs:
    """The programs of the stack, which get their settings in environment variables.

    Attributes:
        worker: program and arguments of a worker; `--name worker-N` follows.
        api: program and arguments of the API.
    """

    worker: tuple[str, ...] = (*_COMMAND, "worker")
    api: tuple[str, ...] = (*_COMMAND, "api")


@dataclass(frozen=True, slots=True)
class Stack:
    """A running stack whose API has answered that it is ready.

    Attributes:
        settings: the settings of all its processes, with the broker's address and the API's port.
        api: address of the API, such as `http://127.0.0.1:8000`.
        supervisor: the supervisor of its processes.
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
    liveness: Liveness = DEFAULT_LIVENESS,
) -> AsyncIterator[Stack]:
    """Start broker (unless one is named), topics, workers and API; yield when all is ready.

    When the block ends, the API is stopped, then the workers, then the broker. Until then every
    process that dies or freezes is started again. Call it in the main thread only.

    Args:
        settings: the settings; with `api_port` 0 a free port is chosen.
        nodes: 1 or 3 nodes of a local broker; None for as many as the data dir has.
        workers: how many workers, each with its own folder.
        report: gets one line for the person at every step.
        programs: programs that tests run instead of the product's.
        liveness: how often the processes are probed.

    Raises:
        PrerequisiteError: the data dir or the port is in use, something must be installed, or a
            local broker has fewer nodes than `replication`.
        BrokerUnavailableError: the broker does not become ready.
        SettingsError: a process rejects its settings.
    """
    settings = settings.replace(data_dir=settings.data_dir.expanduser().resolve())
    programs = programs or Programs()
    async with AsyncExitStack() as exit_stack:
        make_private(settings.data_dir, report)
        await exit_stack.enter_async_context(_locked_data_dir(settings))
        settings = _with_api_port(settings)
        supervisor = Supervisor(report, liveness=liveness)
        settings = await _start_broker(settings, nodes, supervisor, report, exit_stack)
        # registered after the stop of the broker, so that it runs before it
        exit_stack.push_async_callback(supervisor.stop)
        exit_stack.callback(report, "stopping")
        created = await _create_topics(settings, supervisor)
        if created:
            report(f"created {created} topics")

        api = configured_address(settings)
        RunFile(os.getpid(), api, settings.kafka_bootstrap).save(settings.data_dir)
        exit_stack.callback((settings.data_dir / RUN_FILE).unlink, missing_ok=True)
        await _start_processes(settings, workers, programs, supervisor, report)
        await _ready_or_failed(api, supervisor, report)
        supervisor.startup_complete()
        yield Stack(settings, api, supervisor)


@asynccontextmanager
async def _locked_data_dir(settings: Settings) -> AsyncIterator[None]:
    data_dir = settings.data_dir
    running = running_stack_of(data_dir)
    who = f": process {running.pid}, {running.api}" if running else ""
    busy = f"`store-uptime up` is already running on the data dir {data_dir}{who}"
    async with locked(data_dir / RUN_LOCK, limit=_LOCK_SECONDS, busy=busy):
        # a file that a crashed run has left does not describe this run
        (data_dir / RUN_FILE).unlink(missing_ok=True)
        yield


def _with_api_port(settings: Settings) -> Settings:
    """Check that the port of the API is free, or choose one, before anything is started."""
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
    exit_stack: AsyncExitStack,
) -> Settings:
    broker = await choose_broker(settings, nodes=nodes, report=report)
    report(f"starting {broker.description}")
    started = await broker.start(tied=True)
    if not started.already_running:
        exit_stack.push_async_callback(broker.stop)
        supervisor.watch(*broker.supervised())
    report(f"broker at {started.bootstrap}")
    if 0 < started.nodes < settings.replication:
        raise PrerequisiteError(
            f"STORE_UPTIME_REPLICATION={settings.replication} needs as many nodes, and the "
            f"local broker has {started.nodes}"
        )
    return resolve_bootstrap(settings.replace(kafka_bootstrap=started.bootstrap))


async def _create_topics(settings: Settings, supervisor: Supervisor) -> int:
    """Create the topics that are missing; return their number.

    Raises:
        BrokerUnavailableError: no broker answers; the message has the reason if a node has ended.
    """
    try:
        return await ensure_topics(settings)
    except BrokerUnavailableError:
        for child in supervisor.children:
            # a node may still be ending, and its log is written a little later
            with suppress(TimeoutError):
                async with asyncio.timeout(_EXIT_WAIT_SECONDS):
                    code = await child.wait()
                reason = f"{child.name} ended ({describe_exit(code)}): {child.last_error_line()}"
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
                stop_limit=_WORKER_STOP_SECONDS,
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
        # if both have ended, the failure counts
        await (failure if failure.done() else ready)
    finally:
        for task in (ready, failure):
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task


async def _until_ready(api: str, report: Callable[[str], None]) -> None:
    """Wait until the API is ready, without a limit: to restore large tables takes long."""
    clock = asyncio.get_running_loop().time
    next_report = clock() + _PROGRESS_SECONDS
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
            if clock() >= next_report:
                report(f"still starting: {api}/readyz {state}")
                next_report = clock() + _PROGRESS_SECONDS
            await asyncio.sleep(_READY_POLL_SECONDS)
