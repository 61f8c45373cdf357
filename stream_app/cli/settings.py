"""The command `store-uptime settings`: prints every setting."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from stream_app.cli.options import StrictCommand, data_dir_option, read_settings
from stream_app.settings_table import describe, links_instead_of_settings

if TYPE_CHECKING:
    from pathlib import Path


@click.command(cls=StrictCommand)
@data_dir_option
def settings(data_dir: Path | None) -> None:
    """Print every setting with its value and where it comes from."""
    lines = describe(read_settings(data_dir=data_dir), os.environ)
    width = max(len(line.variable) for line in lines)
    for line in lines:
        click.echo(f"{line.variable:<{width}}  {line.value or '-'}  ({line.origin})  {line.help}")
    for note in links_instead_of_settings(os.environ):
        click.echo(note, err=True)
