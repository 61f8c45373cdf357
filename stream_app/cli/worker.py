"""The command `store-uptime worker`: runs one worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from stream_app.cli.logs import log_to_stderr
from stream_app.cli.options import StrictCommand, data_dir_option, keep_private, read_settings
from stream_app.kafka.bootstrap import resolve_bootstrap

if TYPE_CHECKING:
    from pathlib import Path


@click.command(cls=StrictCommand)
@data_dir_option
@click.option(
    "--name",
    default="worker-1",
    show_default=True,
    help="Name of this worker's folder; two running workers of one data dir need two names.",
)
def worker(data_dir: Path | None, name: str) -> None:
    """Run one worker against a broker."""
    from stream_app.worker.main import run  # noqa: PLC0415  Faust takes a second to import

    log_to_stderr()
    keep_private()
    run(resolve_bootstrap(read_settings(data_dir=data_dir)), name)
