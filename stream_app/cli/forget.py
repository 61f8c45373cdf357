"""The command `store-uptime forget`: removes stores."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import click

from stream_app.cli.client import ApiClient
from stream_app.cli.options import StrictCommand, data_dir_option, read_settings
from stream_app.contracts.fields import parse_uuid
from stream_app.errors import RecordError
from stream_app.local.run_file import api_address

if TYPE_CHECKING:
    from pathlib import Path

    from stream_app.settings import Settings


@click.command(cls=StrictCommand)
@click.argument("store_ids", nargs=-1, required=True, metavar="STORE_ID...")
@click.option("--api", "address", help="Address of the API; default: that of the data dir.")
@data_dir_option
def forget(store_ids: tuple[str, ...], *, address: str | None, data_dir: Path | None) -> None:
    """Remove stores with all their data: polls, business hours, timezone.

    Input that arrives later creates the store again. Exit code 1: one of them was unknown.
    """
    try:
        parsed_ids = list(dict.fromkeys(map(parse_uuid, store_ids)))
    except RecordError as error:
        raise click.UsageError(str(error)) from None
    settings = read_settings(data_dir=data_dir)
    unknown = asyncio.run(_forget(settings, address or api_address(settings), parsed_ids))
    sys.exit(1 if unknown else 0)


async def _forget(settings: Settings, address: str, store_ids: list[str]) -> list[str]:
    """Remove stores one by one; return those that were unknown."""
    unknown = []
    async with ApiClient(address, settings.report_deadline) as client:
        for store_id in store_ids:
            if await client.remove(store_id):
                click.echo(f"store {store_id} is removed")
            else:
                unknown.append(store_id)
                click.echo(f"store-uptime: store {store_id} is unknown", err=True)
    return unknown
