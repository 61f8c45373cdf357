"""`store-uptime demo`: the main job on the sample data, from an empty folder to a CSV."""

from __future__ import annotations

import asyncio
import csv
import gzip
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console

from producers.replay import ReplayFiles, replay_files
from producers.summary import Summary
from producers.view import default_view
from stream_app.cli.client import ApiClient
from stream_app.cli.options import StrictCommand, read_settings
from stream_app.contracts.reports import report_csv
from stream_app.errors import BrokerUnavailableError, PrerequisiteError
from stream_app.processes.signals import run_until_signalled
from stream_app.processes.stack import Stack, running_stack

if TYPE_CHECKING:
    from stream_app.settings import Settings

SAMPLE: Final = Path(__file__).parents[2] / "data"
STORES_SHOWN: Final = 8

_POLLS: Final = "store_status.csv.gz"
_HOURS: Final = "menu_hours.csv.gz"
_ZONES: Final = "timezones.csv.gz"


@click.command(cls=StrictCommand)
@click.option("--keep", is_flag=True, help="Stay up afterwards, until Ctrl-C.")
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=SAMPLE,
    show_default="the sample of the checkout",
    help="Folder of the sample data.",
)
def demo(*, keep: bool, data: Path) -> None:
    """Start everything, replay the sample data, ask for reports, print them, stop everything."""
    missing = [name for name in (_POLLS, _HOURS, _ZONES) if not (data / name).is_file()]
    if missing:
        raise PrerequisiteError(f"the sample data is not there: {data} has no {missing[0]}")
    settings = read_settings()
    if "STORE_UPTIME_API_PORT" not in os.environ:
        settings = replace(settings, api_port=0)
    with tempfile.TemporaryDirectory(prefix="store-uptime-demo-") as folder:
        settings = replace(settings, data_dir=Path(folder))
        asyncio.run(run_until_signalled(_demo(settings, data, keep=keep)))


async def _demo(settings: Settings, data: Path, *, keep: bool) -> None:
    began = time.monotonic()
    console = Console(stderr=True)

    def say(line: str) -> None:
        console.print(f"[{time.monotonic() - began:5.1f} s] {line}", markup=False, highlight=False)

    async with running_stack(settings, say=say) as stack:
        say(f"ready at {stack.api}")
        await _replay(stack, data)
        store_ids = _stores_of(data / _POLLS)
        say(f"asking for the reports of {len(store_ids)} of the stores")
        async with ApiClient(stack.api, stack.settings.report_deadline) as client:
            reports = [await client.report(store_id) for store_id in store_ids]
        say(f"uptime and downtime before {reports[0]['reference_time']}:")
        click.echo(report_csv(reports), nl=False)
        if keep:
            say(f"the API stays up at {stack.api}; Ctrl-C stops everything. Try:")
            say(f"  curl -X POST {stack.api}/trigger_report/{store_ids[0]}")
            say(f"  store-uptime report {store_ids[0]} --api {stack.api}")
            await stack.run_for_ever()
    say("everything is stopped")


async def _replay(stack: Stack, data: Path) -> None:
    summary = Summary()
    await replay_files(
        ReplayFiles(status=[data / _POLLS], hours=[data / _HOURS], zones=[data / _ZONES]),
        stack.settings,
        view=default_view(),
        summary=summary,
        clock=lambda: time.time_ns() // 1000,
    )
    click.echo("\n".join(summary.lines()), err=True)
    if not summary.complete:
        raise BrokerUnavailableError("the broker did not acknowledge every good row")


def _stores_of(polls: Path) -> list[str]:
    """The first stores of the sample, in the order in which they come."""
    stores: dict[str, None] = {}
    with gzip.open(polls, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            stores.setdefault(row["store_id"])
            if len(stores) == STORES_SHOWN:
                break
    return list(stores)
