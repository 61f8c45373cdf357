"""The command `store-uptime demo`: replays the sample data and prints reports, all by itself."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from producers.csv_replay.progress_view import default_view
from producers.csv_replay.replay import ReplayFiles, replay_files
from producers.csv_replay.summary import Summary
from stream_app.cli.client import ApiClient
from stream_app.cli.kafka import INTERRUPTED
from stream_app.cli.options import StrictCommand, data_dir_option, read_settings
from stream_app.cli.program_name import command_line
from stream_app.cli.sample import HOURS, POLLS, ZONES, check_sample, first_stores, sample_folder
from stream_app.clock import wall_clock
from stream_app.domain.report import csv_text
from stream_app.errors import BrokerUnavailableError, PrerequisiteError
from stream_app.local.processes.files import make_folder
from stream_app.local.processes.ports import is_free
from stream_app.local.processes.signals import run_until_signalled
from stream_app.local.stack import Stack, running_stack
from stream_app.setting_variables import PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from stream_app.settings import Settings

STORES_SHOWN: Final = 8

MARKER: Final = "demo"
"""The file that marks the data dir of a demo: the sample is never mixed with other data."""


@click.command(cls=StrictCommand)
@click.option("--keep", is_flag=True, help="Stay up afterwards, until Ctrl-C.")
@data_dir_option
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the sample data; default: the sample that comes with this program.",
)
def demo(*, keep: bool, data_dir: Path | None, data: Path | None) -> None:
    """Start everything, replay the sample data, ask for reports, print them, stop everything.

    With --keep the product stays up: at its usual port where that is free, with its state in
    its usual folder, so that the other commands find it and `store-uptime up` goes on with it.
    Without, the state is in a temporary folder, which is removed, and the port is any free one.
    """
    sample = data or sample_folder()
    check_sample(sample)
    settings = read_settings(data_dir=data_dir)
    began = time.monotonic()

    def report(line: str) -> None:
        click.echo(f"[{time.monotonic() - began:5.1f} s] {line}", err=True)

    settings = settings.replace(api_port=demo_port(settings, os.environ, keep=keep, report=report))
    run = _Demo(sample, keep=keep, report=report)
    with state_folder(settings.data_dir if keep or data_dir else None) as folder:
        asyncio.run(run_until_signalled(run.work(settings.replace(data_dir=folder))))
    report("everything is stopped")
    sys.exit(0 if run.done else INTERRUPTED)


def demo_port(
    settings: Settings, environment: Mapping[str, str], *, keep: bool, report: Callable[[str], None]
) -> int:
    """Choose the port for the API; 0 is any free one.

    A port that the environment names is used. A demo that stays up uses the usual one where it is
    free; one that ends by itself leaves that port alone.
    """
    if f"{PREFIX}API_PORT" in environment:
        return settings.api_port
    if not keep:
        return 0
    if is_free(settings.api_port, settings.api_host):
        return settings.api_port
    report(f"port {settings.api_port} is in use: the API takes another one, which is named below")
    return 0


@contextmanager
def state_folder(folder: Path | None) -> Iterator[Path]:
    """Use the given data dir for a demo, or a temporary one that is removed afterwards.

    Raises:
        PrerequisiteError: it cannot be written, or it holds data that is not the sample.
    """
    if folder is None:
        try:
            temporary = tempfile.TemporaryDirectory(prefix="store-uptime-demo-")
        except OSError as error:
            raise PrerequisiteError(
                f"cannot make a temporary folder: {error.strerror}: free some space, or name "
                "another place in TMPDIR"
            ) from None
        with temporary as made:
            yield Path(made)
        return
    try:
        _claim(folder)
    except OSError as error:
        raise PrerequisiteError(f"cannot use the folder {folder}: {error.strerror}") from None
    yield folder


def _claim(folder: Path) -> None:
    """Mark a folder as the demo's; it must be empty, or marked already."""
    marker = make_folder(folder.expanduser()) / MARKER
    if marker.exists():
        return
    if any(folder.expanduser().iterdir()):
        raise PrerequisiteError(
            f"{folder} holds data already, and the sample is not mixed into it: name another "
            f"folder with --data-dir, or look at what is there with `{command_line('up')}`"
        )
    marker.touch()


@dataclass
class _Demo:
    """One run of the demo.

    Attributes:
        sample: folder of the files to replay.
        keep: True keeps the product running after the reports.
        report: prints a line about each step.
        done: True once the reports are printed.
    """

    sample: Path
    keep: bool
    report: Callable[[str], None]
    done: bool = False

    async def work(self, settings: Settings) -> None:
        """Do the main job once; with `keep`, run until cancelled."""
        if settings.kafka_bootstrap:
            self.report(f"the sample goes to the broker at {settings.kafka_bootstrap}")
        async with running_stack(settings, report=self.report) as stack:
            self.report(f"ready at {stack.api}")
            await self._replay(stack)
            store_ids = first_stores(self.sample, STORES_SHOWN)
            self.report(f"asking for the reports of {len(store_ids)} of the stores")
            async with ApiClient(stack.api, stack.settings.report_deadline) as client:
                reports = [await client.report(store_id) for store_id in store_ids]
            self.report(f"uptime and downtime before {reports[0].fields['reference_time']}:")
            click.echo(csv_text(chain.from_iterable(each.csv_rows() for each in reports)), nl=False)
            self.done = True
            if self.keep:
                self._print_next_steps(stack, settings.data_dir, store_ids[0])
                await stack.run_for_ever()

    async def _replay(self, stack: Stack) -> None:
        summary = Summary()
        await replay_files(
            ReplayFiles(
                status=[self.sample / POLLS],
                hours=[self.sample / HOURS],
                zones=[self.sample / ZONES],
            ),
            stack.settings,
            view=default_view(),
            summary=summary,
            clock=wall_clock,
        )
        click.echo("\n".join(summary.lines()), err=True)
        if not summary.complete:
            raise BrokerUnavailableError("the broker did not acknowledge every good row")

    def _print_next_steps(self, stack: Stack, data_dir: Path, store_id: str) -> None:
        """Print what the user can do next; each command is a whole line, ready to be copied."""
        self.report("open this address, or try these commands in another terminal:")
        click.echo(f"{stack.api}/", err=True)
        click.echo(f"curl -X POST {stack.api}/trigger_report/{store_id}", err=True)
        report = ["report", store_id]
        if data_dir != read_settings().data_dir:
            report += ["--data-dir", str(data_dir)]
        click.echo(command_line(*report), err=True)
        self.report(f"the API stays up at {stack.api}; Ctrl-C stops everything")
