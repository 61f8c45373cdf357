"""The command `store-uptime explain`: recomputes a report from the topics and compares it."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import click
import orjson
from rich.console import Console
from rich.progress import Progress

from stream_app.cli.client import ApiClient
from stream_app.cli.options import StrictCommand, data_dir_option, read_settings
from stream_app.contracts.access import Process
from stream_app.contracts.fields import parse_uuid
from stream_app.errors import RecordError
from stream_app.explain.comparison import compare
from stream_app.explain.render import to_json, to_text
from stream_app.explain.reported import reported_result
from stream_app.explain.source_records import read_source_records
from stream_app.kafka.admin import ensure_topics
from stream_app.kafka.bootstrap import resolve_bootstrap
from stream_app.kafka.partition_reader import partition_reader
from stream_app.local.run_file import api_address

if TYPE_CHECKING:
    from pathlib import Path

    from stream_app.contracts.report_results import ReportDocument
    from stream_app.explain.reported import ReportedResult
    from stream_app.explain.source_records import SourceRecords
    from stream_app.settings import Settings


@click.command(cls=StrictCommand)
@click.argument("report_id")
@click.option(
    "--store", metavar="STORE_ID", help="Store whose row to explain, in a report of many stores."
)
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True
)
@click.option("--api", "address", help="Address of the API; default: that of the data dir.")
@data_dir_option
def explain(
    *, report_id: str, store: str | None, form: str, address: str | None, data_dir: Path | None
) -> None:
    """Recompute a report from the topics, minute by minute, and say whether it agrees.

    The store's polls are read from store-status up to the offset that the report names; its
    business hours and timezone are compared with those on their topics. Exit code 0: every figure
    agrees; 1: a figure differs, or cannot be recomputed, and a line says why.
    """
    try:
        report_id = parse_uuid(report_id, "report_id")
        store = None if store is None else parse_uuid(store)
    except RecordError as error:
        raise click.UsageError(str(error)) from None
    settings = resolve_bootstrap(read_settings(data_dir=data_dir))
    document = asyncio.run(_document(settings, address or api_address(settings), report_id))
    reported = reported_result(document, store, settings.partitions)
    records = asyncio.run(_source_records(settings, reported))
    comparison = compare(reported, records, settings.default_timezone)
    if form == "json":
        click.echo(orjson.dumps(to_json(report_id, reported, comparison)))
    else:
        click.echo("\n".join(to_text(report_id, reported, comparison)))
    sys.exit(0 if comparison.outcome == "agrees" else 1)


async def _document(settings: Settings, address: str, report_id: str) -> ReportDocument:
    async with ApiClient(address, settings.report_deadline) as client:
        return await client.complete_report(report_id)


async def _source_records(settings: Settings, reported: ReportedResult) -> SourceRecords:
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task(f"partition {reported.partition}", total=None)
        await ensure_topics(settings, Process.EXPLAIN)
        async with partition_reader(settings) as reader:
            return await read_source_records(
                reader,
                reported,
                settings.future_tolerance,
                settings.earliest_poll,
                lambda done, total: progress.update(bar, completed=done, total=total),
            )
