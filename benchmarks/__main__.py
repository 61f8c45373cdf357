"""The command `python -m benchmarks`, which measures lines, stores the results and shows them."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console

from benchmarks.errors import BenchmarkError
from benchmarks.plots import write_plots
from benchmarks.processes import require_proc
from benchmarks.registry import LINES
from benchmarks.results import FOLDER
from benchmarks.runner import run_lines
from benchmarks.tables import rows, terminal_table
from stream_app.errors import StoreUptimeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.line import Line
    from benchmarks.results import Result

_INTERRUPTED: Final = 130
_WIDTH: Final = 180


@click.command()
@click.option("--only", default="", metavar="LINE[,...]", help="Measure only these lines.")
@click.option(
    "--runs", default=3, show_default=True, type=click.IntRange(min=1), help="Runs of each."
)
@click.option(
    "--results",
    type=click.Path(path_type=Path, file_okay=False),
    default=FOLDER,
    help="Folder of the results.  [default: benchmarks/results]",
)
@click.option("--list", "listed", is_flag=True, help="Show the lines and stop.")
def main(only: str, runs: int, results: Path, *, listed: bool) -> None:
    """Measure the product on a real Kafka; the table shows minimum, median and maximum."""
    if listed:
        for line in LINES:
            click.echo(f"{line.name:14} {line.title}")
        return
    known = {line.name: line for line in LINES}
    names = [name.strip() for name in only.split(",") if name.strip()]
    if unknown := [name for name in names if name not in known]:
        raise click.UsageError(f"no line is named {unknown[0]!r}: there are {', '.join(known)}")
    lines = [line for line in LINES if not names or line.name in names]
    try:
        require_proc()
        measured = asyncio.run(_measure(lines, runs, results))
        _show(lines, measured)
        write_plots(results)
        _say("python -m benchmarks.publish puts this into docs/performance.md")
    except (KeyboardInterrupt, asyncio.CancelledError):
        click.echo("stopped; nothing is left running", err=True)
        sys.exit(_INTERRUPTED)
    except (BenchmarkError, StoreUptimeError, OSError) as error:
        raise click.ClickException(str(error)) from None
    if any(result.problem for result in measured):
        sys.exit(1)


def _show(lines: Sequence[Line], measured: Sequence[Result]) -> None:
    console = Console()
    if not console.is_terminal:
        console.width = _WIDTH
    shown = zip(lines, measured, strict=True)
    console.print(terminal_table(rows(line, result) for line, result in shown))


async def _measure(lines: Sequence[Line], runs: int, results: Path) -> list[Result]:
    task = asyncio.current_task()
    if task is not None:
        # as Ctrl-C does, so that all processes are stopped in order
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await run_lines(lines, runs=runs, results=results, say=_say)


def _say(text: str) -> None:
    click.echo(text, err=True)


if __name__ == "__main__":
    main()
