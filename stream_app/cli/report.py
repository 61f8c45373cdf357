"""The command `store-uptime report`: requests reports and prints them."""

from __future__ import annotations

import asyncio
import sys
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import orjson
from rich.console import Console
from rich.progress import Progress

from stream_app.cli.client import ApiClient
from stream_app.cli.options import StrictCommand, data_dir_option, read_settings
from stream_app.contracts.fields import parse_uuid
from stream_app.contracts.report_requests import parse_spec
from stream_app.domain.report import csv_text
from stream_app.domain.timestamps import parse_instant
from stream_app.errors import RecordError, ReportError, StoreUptimeError
from stream_app.local.run_file import api_address

if TYPE_CHECKING:
    from stream_app.contracts.report_results import ReportDocument
    from stream_app.domain.report_spec import ReportSpec
    from stream_app.settings import Settings

_AT_ONCE: Final = 32
"""The number of reports that are requested at the same time."""

_IDS_SHOWN: Final = 10
"""The largest number of reports whose ids are printed beside the CSV."""


@click.command(cls=StrictCommand)
@click.argument("store_ids", nargs=-1, metavar="[STORE_ID]...")
@click.option("--all", "every_store", is_flag=True, help="Every store, in the order of their ids.")
@click.option(
    "--at", "--end", "at", help="Reference time, ISO 8601; default: by the reference clock."
)
@click.option("--start", help="Report one time range from this time, not hour, day and week.")
@click.option("--duration", help="Length of that range instead of --start, as P7D or PT90M.")
@click.option("--daily", is_flag=True, help="A row for each local day; by default, 7 days.")
@click.option("--exact", is_flag=True, help="Exact seconds instead of whole minutes.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to a file.")
@click.option("--format", "output_format", type=click.Choice(["csv", "json"]), default="csv")
@click.option("--api", "address", help="Address of the API; default: that of the data dir.")
@data_dir_option
def report(
    store_ids: tuple[str, ...],
    *,
    every_store: bool,
    at: str | None,
    start: str | None,
    duration: str | None,
    daily: bool,
    exact: bool,
    output: Path | None,
    output_format: str,
    address: str | None,
    data_dir: Path | None,
) -> None:
    """Request reports and print them: a row for each store, or for each store and day.

    The id of each report goes to standard error: `store-uptime explain` takes it.
    """
    if every_store == bool(store_ids):
        raise click.UsageError("name stores, or say --all")
    try:
        requested = [parse_uuid(store_id) for store_id in store_ids]
        reference_time = None if at is None else parse_instant(at)
        options = {"start": start, "duration": duration, "daily": daily, "exact": exact}
        spec = parse_spec({name: value for name, value in options.items() if value is not None})
    except RecordError as error:
        raise click.UsageError(str(error)) from None
    settings = read_settings(data_dir=data_dir)
    address = address or api_address(settings)
    failures: list[tuple[str, str]] = []
    if every_store:
        documents = [asyncio.run(_fleet(settings, address, reference_time, spec))]
    else:
        documents, failures = asyncio.run(
            _reports(settings, address, requested, reference_time, spec)
        )
    report_ids = [document.fields["report_id"] for document in documents]
    if output_format == "csv":
        rows = chain.from_iterable(document.csv_rows() for document in documents)
        text = csv_text(rows, spec.columns)
    else:
        text = orjson.dumps(list(chain.from_iterable(map(_objects, documents)))).decode() + "\n"
    if output is None:
        sys.stdout.write(text)
    else:
        output.write_text(text)
    for report_id in report_ids[:_IDS_SHOWN]:
        click.echo(f"report {report_id}", err=True)
    if len(report_ids) > _IDS_SHOWN:
        click.echo(f"and {len(report_ids) - _IDS_SHOWN} more: --format json names all", err=True)
    for store_id, reason in failures:
        detail = reason.removeprefix(f"store {store_id}: ")
        click.echo(f"store-uptime: no report of store {store_id}: {detail}", err=True)
    sys.exit(1 if failures else 0)


async def _fleet(
    settings: Settings, address: str, reference_time: int | None, spec: ReportSpec
) -> ReportDocument:
    async with ApiClient(address, settings.report_deadline) as client:
        console = Console(stderr=True)
        with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
            bar = progress.add_task("all stores", total=None)
            return await client.fleet_report(
                reference_time,
                spec,
                lambda done, parts: progress.update(bar, completed=done, total=parts),
            )


def _objects(document: ReportDocument) -> list[dict[str, Any]]:
    """Return the JSON objects of a report: one of a store, or one for each row of many stores."""
    if "store_id" in document.fields:
        return [document.fields]
    return [{**row, "columns": document.columns} for row in document.rows()]


async def _reports(
    settings: Settings,
    address: str,
    store_ids: list[str],
    reference_time: int | None,
    spec: ReportSpec,
) -> tuple[list[ReportDocument], list[tuple[str, str]]]:
    reports: dict[str, ReportDocument] = {}
    failures: list[tuple[str, str]] = []
    slots = asyncio.Semaphore(_AT_ONCE)
    console = Console(stderr=True)
    async with ApiClient(address, settings.report_deadline) as client:
        few = len(store_ids) < _AT_ONCE
        with Progress(console=console, disable=few or not console.is_terminal) as progress:
            bar = progress.add_task("reports", total=len(store_ids))

            async def one(store_id: str) -> None:
                async with slots:
                    try:
                        reports[store_id] = await client.report(store_id, reference_time, spec)
                    except ReportError as error:
                        failures.append((store_id, str(error)))
                    progress.advance(bar)

            try:
                async with asyncio.TaskGroup() as group:
                    for store_id in store_ids:
                        group.create_task(one(store_id))
            except* StoreUptimeError as errors:
                # all of them failed for the same reason: one line is enough
                raise errors.exceptions[0] from None
    return [reports[store_id] for store_id in store_ids if store_id in reports], failures
