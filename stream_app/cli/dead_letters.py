"""`store-uptime dead-letters list|show|replay`: lists rejected input, and sends it again."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import click
import orjson

from producers.dead_letters.log import DeadLetterFilter, DeadLetterLog, StoredDeadLetter
from producers.dead_letters.render import (
    printable,
    summarize,
    to_content,
    to_line,
    to_lines,
    to_row,
)
from producers.dead_letters.replay import DeadLetterReplay, ReplayResult
from producers.record_sink import RecordSink
from stream_app.cli.options import StrictGroup, data_dir_option, read_settings
from stream_app.clock import wall_clock
from stream_app.contracts.access import Process
from stream_app.contracts.topics import ALL_TOPICS
from stream_app.domain.timestamps import parse_instant
from stream_app.errors import RecordError
from stream_app.kafka.admin import ensure_topics
from stream_app.kafka.bootstrap import resolve_bootstrap
from stream_app.kafka.partition_reader import partition_reader

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from stream_app.kafka.partition_reader import PartitionReader
    from stream_app.settings import Settings

_MAX_SHOWN: Final = 50
"""The number of lines about dead letters that are not sent; the summary counts the rest."""

_MAX_LISTED: Final = 100_000


@click.group("dead-letters", cls=StrictGroup)
def dead_letters() -> None:
    """List rejected input, and send it again.

    Rows, records and requests that cannot be used are kept for 30 days with the reason.
    """


def _filters(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option(
            "--since",
            metavar="T",
            help="Stored at this time or later; ISO 8601.",
            callback=_instant,
        ),
        click.option("--reason", metavar="TEXT", help="With this text in the reason."),
        click.option("--file", metavar="PATH", help="From this CSV file, or the end of its path."),
        click.option(
            "--topic",
            type=click.Choice([spec.name for spec in ALL_TOPICS]),
            metavar="NAME",
            help="From this topic.",
        ),
    ):
        command = option(command)
    return command


def _instant(_context: click.Context, _option: click.Parameter, text: str | None) -> int | None:
    try:
        return None if text is None else parse_instant(text)
    except RecordError as error:
        raise click.BadParameter(str(error)) from None


_format_option = click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True
)


@dead_letters.command("list")
@_filters
@click.option(
    "--limit",
    type=click.IntRange(1, _MAX_LISTED),
    default=20,
    show_default=True,
    help="How many to show.",
)
@_format_option
@data_dir_option
def list_(
    *,
    topic: str | None,
    file: str | None,
    reason: str | None,
    since: int | None,
    limit: int,
    form: str,
    data_dir: Path | None,
) -> None:
    """List dead letters, the newest first: id, time, source, reason, original."""
    filters = DeadLetterFilter(topic, file, reason, since)
    settings = resolve_bootstrap(read_settings(data_dir=data_dir))

    shorten: Callable[[StoredDeadLetter], Any] = to_row if form == "json" else to_line

    async def read() -> tuple[list[Any], int]:
        async with _log(settings, Process.LIST_DEAD_LETTERS) as (log, _):
            return await log.newest(filters, limit, shorten)

    rendered, more = asyncio.run(read())
    if form == "json":
        click.echo(orjson.dumps(rendered))
    else:
        for line in rendered:
            click.echo(line)
        if not rendered:
            click.echo("no dead letters", err=True)
    if more:
        click.echo(f"... and {more:,} more: raise --limit, or use --reason", err=True)


@dead_letters.command("show")
@click.argument("number", type=click.IntRange(min=0), metavar="ID")
@click.option("--raw", is_flag=True, help="Write the exact bytes of the original, nothing else.")
@_format_option
@data_dir_option
def show(*, number: int, raw: bool, form: str, data_dir: Path | None) -> None:
    """Show one dead letter whole."""
    settings = resolve_bootstrap(read_settings(data_dir=data_dir))

    async def read() -> StoredDeadLetter:
        async with _log(settings, Process.LIST_DEAD_LETTERS) as (log, _):
            return await log.get(number)

    stored = asyncio.run(read())
    if raw:
        if stored.dead_letter.truncated:
            click.echo("only the beginning of the original was kept", err=True)
        click.echo(stored.dead_letter.original or b"", nl=False)
    elif form == "json":
        click.echo(orjson.dumps(to_content(stored)))
    else:
        click.echo("\n".join(to_lines(stored)))


@dead_letters.command("replay")
@click.argument("numbers", nargs=-1, type=click.IntRange(min=0), metavar="[ID]...")
@click.option("--all", "every_one", is_flag=True, help="Every dead letter.")
@_filters
@click.option(
    "--set-value",
    "value_file",
    type=click.File("rb"),
    metavar="FILE",
    help="Send the content of this file (-: standard input) instead of the original of the one ID. "
    "`show ID --raw` prints the original, so that you can correct it.",
)
@click.option(
    "--force",
    is_flag=True,
    help="Send hours and timezones even of stores that have newer ones, and replace the newer ones "
    "(a single row of hours is added to them).",
)
@click.option("--dry-run", is_flag=True, help="Send nothing: only print what would be sent.")
@data_dir_option
def replay(
    *,
    numbers: tuple[int, ...],
    every_one: bool,
    topic: str | None,
    file: str | None,
    reason: str | None,
    since: int | None,
    value_file: Any,
    force: bool,
    dry_run: bool,
    data_dir: Path | None,
) -> None:
    """Send the originals of dead letters again; name them by ID, by filters, or say --all.

    An original that is still bad is not sent but listed. It is safe to run this again: what is sent
    twice changes nothing. Dead letters stay in the list until they expire. An original that the
    worker rejects again becomes a new dead letter. Exit code 0: every original was sent and
    acknowledged, or equals what its store already has.
    """
    filters = DeadLetterFilter(topic, file, reason, since)
    filtered = filters != DeadLetterFilter()
    if sum((bool(numbers), every_one, filtered)) != 1:
        raise click.UsageError("name dead letters by ID, or by filters, or say --all")
    if value_file is not None and len(numbers) != 1:
        raise click.UsageError("--set-value goes with exactly one ID")
    value = None if value_file is None else value_file.read().removesuffix(b"\n")
    settings = resolve_bootstrap(read_settings(data_dir=data_dir))
    result = asyncio.run(
        _replay(settings, sorted(set(numbers)), filters, value, force=force, dry_run=dry_run)
    )
    click.echo(summarize(result, dry_run=dry_run))
    if result.sent and not dry_run:
        click.echo(
            "what the worker rejects again becomes a new dead letter: `store-uptime dead-letters "
            "list` shows it"
        )
    sys.exit(0 if result.complete else 1)


async def _replay(
    settings: Settings,
    numbers: Sequence[int],
    filters: DeadLetterFilter,
    value: bytes | None,
    *,
    force: bool,
    dry_run: bool,
) -> ReplayResult:
    lines = 0

    def show(line: str) -> None:
        nonlocal lines
        lines += 1
        if lines <= _MAX_SHOWN:
            click.echo(printable(line), err=True)

    async with _log(settings, Process.REPLAY_DEAD_LETTERS) as (log, reader):
        selected = log.iterate(filters)
        if numbers:
            selected = _named(log, numbers, value)

        async def run(sink: RecordSink | None) -> ReplayResult:
            replay_ = DeadLetterReplay(settings, reader, sink, wall_clock, show, force=force)
            return await replay_.run(selected)

        if dry_run:
            result = await run(None)
        else:
            async with RecordSink(settings) as sink:
                result = await run(sink)
    if lines > _MAX_SHOWN:
        click.echo(f"... and {lines - _MAX_SHOWN:,} more", err=True)
    return result


@asynccontextmanager
async def _log(
    settings: Settings, process: Process
) -> AsyncIterator[tuple[DeadLetterLog, PartitionReader]]:
    # a new broker does not have the topic yet
    await ensure_topics(settings, process)
    async with partition_reader(settings) as reader:
        yield await DeadLetterLog.open(reader), reader


async def _named(
    log: DeadLetterLog, numbers: Sequence[int], value: bytes | None
) -> AsyncIterator[StoredDeadLetter]:
    for number in numbers:
        stored = await log.get(number)
        if value is not None:
            stored = replace(
                stored, dead_letter=replace(stored.dead_letter, original=value, truncated=False)
            )
        yield stored
