"""The command `store-uptime up`: runs broker, workers and API in one process tree."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Final

import click

from stream_app.cli.kafka import nodes_option
from stream_app.cli.options import FiniteRange, StrictCommand, data_dir_option, keep_private
from stream_app.local.kafka.choose import existing_nodes
from stream_app.local.processes.liveness import DEFAULT_LIVENESS, Liveness
from stream_app.local.processes.signals import run_until_signalled
from stream_app.local.stack import running_stack
from stream_app.setting_variables import PREFIX
from stream_app.settings import Settings
from stream_app.tls import tls_context

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_SHORTEST_PERIOD: Final = 0.1
_LONGEST_PERIOD: Final = 3600.0


def _probe_period(_context: click.Context, _option: click.Parameter, seconds: float) -> float:
    if seconds == 0 or _SHORTEST_PERIOD <= seconds <= _LONGEST_PERIOD:
        return seconds
    raise click.BadParameter(
        f"{seconds:g} is neither 0 nor in {_SHORTEST_PERIOD:g} to {_LONGEST_PERIOD:g}"
    )


@click.command("up", cls=StrictCommand)
@data_dir_option
@click.option("--api-host", help="Address that the API listens on (STORE_UPTIME_API_HOST).")
@click.option(
    "--api-port",
    type=click.IntRange(0, 65535),
    help="Port of the API (STORE_UPTIME_API_PORT); 0: any free one.",
)
@nodes_option
@click.option(
    "--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="How many workers."
)
@click.option(
    "--probe-period",
    type=FiniteRange(0),
    callback=_probe_period,
    default=DEFAULT_LIVENESS.period_seconds,
    show_default=True,
    help="Seconds between two probes of each process; a process that does not answer "
    f"{DEFAULT_LIVENESS.failure_threshold} in a row is killed and started again. 0: no probes.",
)
def up(
    *,
    data_dir: Path | None,
    api_host: str | None,
    api_port: int | None,
    nodes: int | None,
    workers: int,
    probe_period: float,
) -> None:
    """Run broker (unless one is named), workers and API until Ctrl-C or SIGTERM."""
    keep_private()
    settings = stack_settings(
        os.environ, nodes=nodes, data_dir=data_dir, api_host=api_host, api_port=api_port
    )

    async def run() -> None:
        async with running_stack(
            settings,
            nodes=nodes,
            workers=workers,
            report=click.echo,
            liveness=Liveness(probe_period),
        ) as stack:
            click.echo(f"ready at {stack.api} (data in {stack.settings.data_dir})")
            await stack.run_for_ever()

    asyncio.run(run_until_signalled(run()))


def stack_settings(
    environment: Mapping[str, str], *, nodes: int | None, **overrides: object
) -> Settings:
    """Read the settings of a stack: three local nodes keep three copies by default.

    Args:
        environment: the variables.
        nodes: the number of nodes, 1 or 3; None for as many as the data dir has.
        overrides: parsed values, which win over the environment; None is no value.

    Raises:
        SettingsError: a value that cannot be used.
        PrerequisiteError: the data dir cannot be read.
    """
    settings = Settings.from_environment(environment, **overrides)
    tls_context(settings)
    if settings.kafka_bootstrap or f"{PREFIX}REPLICATION" in environment:
        return settings
    has_three = (nodes or existing_nodes(settings)) == 3
    return settings.replace(replication=3) if has_three else settings
