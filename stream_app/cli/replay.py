"""`store-uptime replay`: CSV files onto the topics."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from producers.replay import ReplayFiles, replay_files
from producers.summary import Summary
from producers.view import default_view
from stream_app.cli.options import data_dir_option, read_settings
from stream_app.errors import BrokerUnavailableError, StoreUptimeError

if TYPE_CHECKING:
    from collections.abc import Callable

FILE_NAMES: Final = {
    "status": ("store_status.csv",),
    "hours": ("store_business_hours.csv", "menu_hours.csv"),
    "zones": ("store_timezones.csv", "timezones.csv"),
}
"""The names under which --from looks for each kind of file; each may end in .gz as well."""


def find_files(folder: Path) -> ReplayFiles:
    """The input files of a folder, by their names.

    Raises:
        StoreUptimeError: the folder has none, or has one plain and packed.
    """
    found: dict[str, list[Path]] = {kind: [] for kind in FILE_NAMES}
    for kind, names in FILE_NAMES.items():
        for name in names:
            there = [path for path in (folder / name, folder / f"{name}.gz") if path.is_file()]
            if len(there) > 1:
                raise StoreUptimeError(
                    f"{folder} has {there[0].name} and {there[1].name}: name one of them "
                    f"with --{kind}, or take one away"
                )
            found[kind] += there
    if not any(found.values()):
        names_text = ", ".join(name for names in FILE_NAMES.values() for name in names)
        raise StoreUptimeError(f"{folder} has none of {names_text} (or .gz of them)")
    return ReplayFiles(**found)


def _option(name: str, what: str) -> Callable[[Any], Any]:
    return click.option(
        f"--{name}",
        name,
        multiple=True,
        type=click.Path(path_type=Path),
        metavar="FILE",
        help=f"CSV of {what}, plain or .gz; may be repeated.",
    )


@click.command()
@_option("status", "polls: store_id,status,timestamp_utc")
@_option("hours", "business hours: store_id,dayOfWeek,start_time_local,end_time_local")
@_option("zones", "time zones: store_id,timezone_str")
@click.option(
    "--from",
    "folder",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Take the files of a folder by their usual names.",
)
@click.option(
    "--speed",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="0: as fast as it goes; else so many times the pace of the poll times: 3600 plays an "
    "hour a second.",
)
@click.option(
    "--rejects",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write refused rows to this CSV as well.",
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
    """Send CSV files of polls, business hours and time zones.

    Bad rows are shown, counted and kept in the dead-letters topic; the good ones all arrive.
    Running it again is safe: doubles change nothing. Exit code 0: every good row was
    acknowledged.
    """
    settings = read_settings(data_dir=data_dir)
    files = find_files(folder) if folder is not None else ReplayFiles()
    files = ReplayFiles(
        status=[*files.status, *status],
        hours=[*files.hours, *hours],
        zones=[*files.zones, *zones],
    )
    if not (files.status or files.hours or files.zones):
        raise click.UsageError("nothing to send: give --status, --hours, --zones or --from")
    summary = Summary()
    try:
        asyncio.run(
            replay_files(
                files,
                settings,
                view=default_view(),
                summary=summary,
                clock=lambda: time.time_ns() // 1000,
                speed=speed,
                rejects=rejects,
            )
        )
    finally:
        if summary.started:
            click.echo("\n".join(summary.lines()))
    if not summary.complete:
        raise BrokerUnavailableError("the brokers did not acknowledge every good row")
