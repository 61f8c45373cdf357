"""`store-uptime explain`: a report's figures, recomputed from the topics by another way."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import click
import orjson
from rich.console import Console
from rich.progress import Progress

from producers.dead_letters.log import partition_reader
from stream_app.cli.client import ApiClient
from stream_app.cli.options import StrictCommand, data_dir_option, read_settings
from stream_app.contracts.access import Process
from stream_app.contracts.fields import parse_uuid
from stream_app.errors import RecordError
from stream_app.explain.comparison import judge
from stream_app.explain.render import content_of, lines_of
from stream_app.explain.reported import claim_of
from stream_app.explain.source_records import gather
from stream_app.kafka.admin import ensure_topics
from stream_app.kafka.bootstrap import resolve_bootstrap
from stream_app.local.run_file import api_address

if TYPE_CHECKING:
    from pathlib import Path

    from stream_app.explain.reported import Claim
    from stream_app.explain.source_records import Evidence
    from stream_app.settings import Settings


@click.command(cls=StrictCommand)
@click.argument("report_id")
@click.option("--store", metavar="STORE_ID", help="Which row of a report of many stores.")
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True
)
@click.option("--api", "address", help="Address of the API; default: that of the data dir.")
@data_dir_option
def explain(
    *, report_id: str, store: str | None, form: str, address: str | None, data_dir: Path | None
) -> None:
    """Recompute a report from the topics, minute by minute, and say whether it agrees.

    The store's polls are read from store-status up to the offset that the report names; its hours
    and zone are held against theirs. Exit code 0: every figure agrees; 1: one differs, or cannot
    be recomputed, and why.
    """
    try:
        report_id = parse_uuid(report_id, "report_id")
        store = None if store is None else parse_uuid(store)
    except RecordError as error:
        raise click.UsageError(str(error)) from None
    settings = resolve_bootstrap(read_settings(data_dir=data_dir))
    content = asyncio.run(_content(settings, address or api_address(settings), report_id))
    claim = claim_of(content, store, settings.partitions)
    evidence = asyncio.run(_evidence(settings, claim))
    verdict = judge(claim, evidence, settings.default_timezone)
    if form == "json":
        click.echo(orjson.dumps(content_of(report_id, claim, verdict)))
    else:
        click.echo("\n".join(lines_of(report_id, claim, verdict)))
    sys.exit(0 if verdict.outcome == "agrees" else 1)


async def _content(settings: Settings, address: str, report_id: str) -> dict[str, Any]:
    async with ApiClient(address, settings.report_deadline) as client:
        return await client.content_of(report_id)


async def _evidence(settings: Settings, claim: Claim) -> Evidence:
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task(f"partition {claim.partition}", total=None)
        await ensure_topics(settings, Process.EXPLAIN)
        async with partition_reader(settings) as reader:
            return await gather(
                reader,
                claim,
                settings.future_tolerance,
                settings.earliest_poll,
                lambda done, total: progress.update(bar, completed=done, total=total),
            )
