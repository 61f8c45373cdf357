"""The commands `store-uptime kafka ...`: they run the local broker alone."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Final

import click

from stream_app.cli.options import StrictGroup, data_dir_option, keep_private, read_settings
from stream_app.data_dir import RUN_LOCK
from stream_app.errors import PrerequisiteError, SettingsError
from stream_app.kafka.bootstrap import resolve_bootstrap
from stream_app.local.kafka.choose import choose_broker, choose_local_broker, existing_broker
from stream_app.local.kafka.jars import KAFKA, TOOLS, fetch_jars
from stream_app.local.kafka.password import write_client_properties
from stream_app.local.kafka.tools import BIN, write_commands
from stream_app.local.processes.file_lock import is_locked
from stream_app.local.processes.files import make_private
from stream_app.local.processes.signals import run_until_signalled
from stream_app.local.run_file import running_stack_of
from stream_app.setting_variables import PREFIX

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path
    from typing import Any

    from stream_app.settings import Settings

NOT_RUNNING: Final = 3
"""The exit code of `status` without a running broker, as service managers use it."""

_LOGIN: Final = (
    '--bootstrap-server "$(store-uptime kafka status | cut -d= -f2)" '
    '--command-config "$(store-uptime kafka client-properties)"'
)

INTERRUPTED: Final = 130
"""The exit code after Ctrl-C, as shells use it."""


nodes_option = click.option(
    "--nodes",
    type=click.Choice(["1", "3"]),
    callback=lambda _context, _option, text: int(text) if text else None,
    help="Number of nodes of the local broker; it cannot change once the data dir has a broker.",
)


@click.group("kafka", cls=StrictGroup)
def kafka() -> None:
    """Run a Kafka on this machine, in Docker or on Java."""


@kafka.command("start")
@data_dir_option
@nodes_option
def start(data_dir: Path | None, nodes: int | None) -> None:
    """Start the broker, or find it running, and print its address.

    The line on standard output can be exported: export $(store-uptime kafka start)
    """
    settings = read_settings(data_dir=data_dir)
    keep_private()

    async def run() -> None:
        make_private(settings.data_dir.expanduser().resolve(), _report)
        broker = await choose_local_broker(settings, nodes=nodes, report=_report)
        _report(f"starting {broker.description}")
        started = await broker.start(tied=False)
        _report("was already running" if started.already_running else "running")
        if started.nodes == 3:
            _report(f"for three copies of every topic set {PREFIX}REPLICATION=3 too")
        click.echo(f"{PREFIX}KAFKA_BOOTSTRAP={started.bootstrap}")

    _run(run())


@kafka.command("stop")
@data_dir_option
@nodes_option
def stop(data_dir: Path | None, nodes: int | None) -> None:
    """Stop the broker; its data stays."""
    settings = read_settings(data_dir=data_dir)
    if is_locked(settings.data_dir / RUN_LOCK):
        raise PrerequisiteError(_used_by_stack(settings))
    broker = existing_broker(settings, nodes=nodes)
    stopped = asyncio.run(broker.stop()) if broker else False
    _report("stopped" if stopped else "was not running")


@kafka.command("status")
@data_dir_option
@nodes_option
def status(data_dir: Path | None, nodes: int | None) -> None:
    """Say whether the broker runs; exit code 0 if it answers, 3 if not."""
    settings = read_settings(data_dir=data_dir)
    broker = existing_broker(settings, nodes=nodes)
    if broker is None:
        _report(f"no broker was ever started in {settings.data_dir}")
        sys.exit(NOT_RUNNING)
    state = asyncio.run(broker.status())
    _report(f"{broker.description}: {state.detail}")
    if not state.running:
        sys.exit(NOT_RUNNING)
    click.echo(f"{PREFIX}KAFKA_BOOTSTRAP={state.bootstrap}")


@kafka.command("prepare")
@data_dir_option
@nodes_option
def prepare(data_dir: Path | None, nodes: int | None) -> None:
    """Download the jars or the image that a start needs, so that it needs no network.

    There is nothing to do if the settings name a broker.
    """
    settings = read_settings(data_dir=data_dir)

    async def run() -> None:
        broker = await choose_broker(settings, nodes=nodes, report=_report)
        _report(f"to be used: {broker.description}")

    _run(run())


@kafka.command("jars")
@data_dir_option
@click.option("--tools", is_flag=True, help="Add Kafka's own commands, such as kafka-topics.")
def jars(data_dir: Path | None, *, tools: bool) -> None:
    """Print the folder of Kafka's jars, for Java programs; download missing ones.

    For example: java -cp "$(store-uptime kafka jars)/*" Program.java

    With --tools, Kafka's own commands are in its folder `bin`. For example:
    "$(store-uptime kafka jars --tools)/bin/kafka-topics" --bootstrap-server ... --list
    """
    settings = read_settings(data_dir=data_dir)

    async def run() -> None:
        folder = await fetch_jars(settings.cache_dir, TOOLS if tools else KAFKA, report=_report)
        if tools:
            commands = write_commands(folder)
            _report(
                f"in {folder / BIN}: {', '.join(commands)}; to list the topics of a local broker:"
            )
            _report(f'  "{folder / BIN}/kafka-topics" --list {_LOGIN}')
        click.echo(folder)

    _run(run())


@kafka.command("client-properties")
@data_dir_option
def client_properties(data_dir: Path | None) -> None:
    """Print the path of a file with which Kafka's own commands and Java clients log in.

    For example: kafka-topics --command-config "$(store-uptime kafka client-properties)" ...
    """
    settings = read_settings(data_dir=data_dir)
    if settings.kafka_bootstrap:
        raise SettingsError(
            f"{PREFIX}KAFKA_BOOTSTRAP names a broker of yours, whose login you have to look up; "
            "unset it for the login of the local broker"
        )
    keep_private()
    click.echo(write_client_properties(resolve_bootstrap(settings)))


def _run(work: Coroutine[Any, Any, None]) -> None:
    if asyncio.run(run_until_signalled(work)):
        # the work was interrupted
        sys.exit(INTERRUPTED)


def _report(line: str) -> None:
    # standard output is for programs
    click.echo(line, err=True)


def _used_by_stack(settings: Settings) -> str:
    running = running_stack_of(settings.data_dir)
    who = f" (process {running.pid})" if running else ""
    return f"`store-uptime up`{who} uses the broker of {settings.data_dir}: stop it instead"
