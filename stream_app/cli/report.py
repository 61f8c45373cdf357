"""`store-uptime report`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import orjson
from rich.console import Console
from rich.progress import Progress

from stream_app.cli.client import ApiClient
from stream_app.cli.options import data_dir_option, read_settings
from stream_app.contracts.records import parse_uuid
from stream_app.contracts.reports import report_csv
from stream_app.domain.instants import parse_instant
from stream_app.errors import RecordError, ReportError, StoreUptimeError
from stream_app.processes.run_file import api_address

if TYPE_CHECKING:
    from stream_app.settings import Settings

_AT_ONCE: Final = 32


@click.command()
@click.argument("store_ids", nargs=-1, metavar="[STORE_ID]...")
@click.option("--all", "every_store", is_flag=True, help="Every store, in the order of their ids.")
@click.option("--at", "at", help="Reference time, ISO 8601; default: by the reference clock.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to a file.")
@click.option("--format", "form", type=click.Choice(["csv", "json"]), default="csv")
@click.option("--api", "address", help="Address of the API; default: that of the data dir.")
@data_dir_option
def report(
    store_ids: tuple[str, ...],
    *,
    every_store: bool,
    at: str | None,
    output: Path | None,
    form: str,
    address: str | None,
    data_dir: Path | None,
) -> None:
    """Ask for reports and print them: a row a store."""
    if every_store == bool(store_ids):
        raise click.UsageError("name stores, or say --all")
    try:
        wanted = [parse_uuid(store_id) for store_id in store_ids]
        reference_time = None if at is None else parse_instant(at)
    except RecordError as error:
        raise click.UsageError(str(error)) from None
    settings = read_settings(data_dir=data_dir)
    address = address or api_address(settings)
    failures: list[tuple[str, str]] = []
    if every_store:
        reports = asyncio.run(_fleet(settings, address, reference_time))
    else:
        reports, failures = asyncio.run(_reports(settings, address, wanted, reference_time))
    text = report_csv(reports) if form == "csv" else orjson.dumps(reports).decode() + "\n"
    if output is None:
        sys.stdout.write(text)
    else:
        output.write_text(text)
    for store_id, reason in failures:
        click.echo(f"store-uptime: no report of store {store_id}: {reason}", err=True)
    sys.exit(1 if failures else 0)


async def _fleet(
    settings: Settings, address: str, reference_time: int | None
) -> list[dict[str, Any]]:
    async with ApiClient(address, settings.report_deadline) as client:
        with Progress(console=Console(stderr=True), transient=True) as progress:
            bar = progress.add_task("all stores", total=None)
            content = await client.fleet_report(
                reference_time,
                lambda done, parts: progress.update(bar, completed=done, total=parts),
            )
    reports: list[dict[str, Any]] = content["reports"]
    return reports


async def _reports(
    settings: Settings, address: str, store_ids: list[str], reference_time: int | None
) -> tuple[list[dict[str, Any]], list[tuple[str, str]]]:
    reports: dict[str, dict[str, Any]] = {}
    failures: list[tuple[str, str]] = []
    places = asyncio.Semaphore(_AT_ONCE)
    console = Console(stderr=True)
    async with ApiClient(address, settings.report_deadline) as client:
        with Progress(console=console, disable=len(store_ids) < _AT_ONCE) as progress:
            bar = progress.add_task("reports", total=len(store_ids))

            async def one(store_id: str) -> None:
                async with places:
                    try:
                        reports[store_id] = await client.report(store_id, reference_time)
                    except ReportError as error:
                        failures.append((store_id, str(error)))
                    progress.advance(bar)

            try:
                async with asyncio.TaskGroup() as group:
                    for store_id in store_ids:
                        group.create_task(one(store_id))
            except* StoreUptimeError as errors:
                # all of them met the same trouble: one line says it
                raise errors.exceptions[0] from None
    return [reports[store_id] for store_id in store_ids if store_id in reports], failures
