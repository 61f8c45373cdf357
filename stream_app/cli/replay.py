"""The command `store-uptime replay`: sends the rows of CSV files to Kafka."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from producers.csv_replay.folder import FolderFiles, find_files
from producers.csv_replay.progress_view import default_view
from producers.csv_replay.replay import ReplayFiles, replay_files
from producers.csv_replay.summary import Summary
from stream_app.cli.options import FiniteRange, StrictCommand, data_dir_option, read_settings
from stream_app.clock import wall_clock
from stream_app.errors import BrokerUnavailableError, RejectedRowsError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def _option(name: str, what: str) -> Callable[[Any], Any]:
    return click.option(
        f"--{name}",
        name,
        multiple=True,
        type=click.Path(path_type=Path),
        metavar="FILE",
        help=f"CSV of {what}, plain or .gz; may be repeated.",
    )


@click.command(cls=StrictCommand)
@_option("status", "polls: store_id,status,timestamp_utc")
@_option("hours", "business hours: store_id,dayOfWeek,start_time_local,end_time_local")
@_option("zones", "timezones: store_id,timezone_str")
@click.option(
    "--from",
    "folder",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Send the CSV files of a folder, found by their usual names or else by their headers; "
    "files that are not used are listed.",
)
@click.option(
    "--speed",
    type=FiniteRange(min=0),
    default=0.0,
    show_default=True,
    help="0: as fast as possible; 1: at the pace of the poll times; 3600: an hour of polls in a "
    "second.",
)
@click.option(
    "--rejects",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write rejected rows to this CSV as well.",
)
@data_dir_option
def replay(
    *,
    status: tuple[Path, ...],
    hours: tuple[Path, ...],
    zones: tuple[Path, ...],
    folder: Path | None,
    speed: float,
    rejects: Path | None,
    data_dir: Path | None,
) -> None:
    """Send CSV files of polls, business hours and timezones.

    Bad rows are shown, counted and stored in the dead-letters topic; all good rows are sent. It is
    safe to run this again: what is sent twice changes nothing.

    Exit code 0: every good row was acknowledged. 5: the same, but every row of a file, or all
    hours of a store, were rejected; the last lines name them. 4: no broker, or not every good row
    was acknowledged. 1 or 2: a file, an option or a setting is wrong.
    """
    settings = read_settings(data_dir=data_dir)
    named: dict[str, Sequence[Path]] = {"polls": status, "hours": hours, "zones": zones}
    if folder is None and not any(named.values()):
        raise click.UsageError("nothing to send: give --status, --hours, --zones or --from")
    in_folder = FolderFiles() if folder is None else find_files(folder, named)
    files = ReplayFiles(
        status=[*in_folder.paths.get("polls", ()), *status],
        hours=[*in_folder.paths.get("hours", ()), *hours],
        zones=[*in_folder.paths.get("zones", ()), *zones],
        notes=in_folder.notes,
    )
    summary = Summary()
    try:
        asyncio.run(
            replay_files(
                files,
                settings,
                view=default_view(),
                summary=summary,
                clock=wall_clock,
                speed=speed,
                rejects=rejects,
            )
        )
    finally:
        if summary.started:
            click.echo("\n".join(summary.lines()))
    if not summary.complete:
        raise BrokerUnavailableError("the brokers did not acknowledge every good row")
    rejection = summary.rejection()
    if rejection is not None:
        raise RejectedRowsError(rejection)
