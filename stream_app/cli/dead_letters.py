"""`store-uptime dead-letters list|show|replay`: what was refused, and another chance for it."""

from __future__ import annotations

import asyncio
import base64
import codecs
import re
import sys
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import click
import orjson

from producers.dead_letters.log import DeadLetterFilter, DeadLetterLog, StoredDeadLetter
from producers.dead_letters.replay import DeadLetterReplay, ReplayResult
from producers.record_sink import RecordSink
from stream_app.cli.options import StrictGroup, data_dir_option, read_settings
from stream_app.clock import wall_clock
from stream_app.contracts.access import Process
from stream_app.contracts.topics import ALL_TOPICS, WEBHOOKS
from stream_app.domain.timestamps import SECOND, format_instant, parse_instant
from stream_app.errors import RecordError
from stream_app.kafka.admin import ensure_topics
from stream_app.kafka.bootstrap import resolve_bootstrap
from stream_app.kafka.partition_reader import partition_reader

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence
    from pathlib import Path

    from stream_app.contracts.dead_letters import DeadLetter
    from stream_app.kafka.partition_reader import PartitionReader
    from stream_app.settings import Settings

_SHOWN_REASON: Final = 160
_SHOWN_ORIGINAL: Final = 100
_SHOWN_LETTERS: Final = 50
"""Lines about letters that are not sent; the counts tell the rest."""

_MAX_LISTED: Final = 100_000


_URL: Final = re.compile(
    rb"(https?:(?:\\?/){2})(?:[^\s/?#\"@]*@)?([^\s/?#\\\"]*)[^\s\"]*", re.IGNORECASE
)
"""A URL: scheme, host, and what else it has; JSON may write a slash as \\/."""

_Utf8: Final = codecs.getincrementaldecoder("utf-8")


@click.group("dead-letters", cls=StrictGroup)
def dead_letters() -> None:
    """Look at what was refused, and send it again.

    Rows, records and requests that cannot be used are kept for 30 days with the reason.
    """


def _filters(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option(
            "--since", metavar="T", help="Kept at this time or later; ISO 8601.", callback=_instant
        ),
        click.option("--reason", metavar="TEXT", help="With this text in the reason."),
        click.option("--file", metavar="PATH", help="From this CSV file, or a path ending so."),
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
    wanted = DeadLetterFilter(topic, file, reason, since)
    settings = resolve_bootstrap(read_settings(data_dir=data_dir))

    shorten: Callable[[StoredDeadLetter], Any] = _row if form == "json" else _line

    async def read() -> tuple[list[Any], int]:
        async with _log(settings, Process.LIST_LETTERS) as (log, _):
            return await log.newest(wanted, limit, shorten)

    found, more = asyncio.run(read())
    if form == "json":
        click.echo(orjson.dumps(found))
    else:
        for line in found:
            click.echo(line)
        if not found:
            click.echo("no dead letters", err=True)
    if more:
        click.echo(f"... and {more:,} more: raise --limit, or ask for fewer by --reason", err=True)


@dead_letters.command("show")
@click.argument("number", type=click.IntRange(min=0), metavar="ID")
@click.option("--raw", is_flag=True, help="Write the exact bytes of the original, nothing else.")
@_format_option
@data_dir_option
def show(*, number: int, raw: bool, form: str, data_dir: Path | None) -> None:
    """Show one dead letter whole."""
    settings = resolve_bootstrap(read_settings(data_dir=data_dir))

    async def read() -> StoredDeadLetter:
        async with _log(settings, Process.LIST_LETTERS) as (log, _):
            return await log.get(number)

    stored = asyncio.run(read())
    if raw:
        if stored.dead_letter.truncated:
            click.echo("only the beginning of the original was kept", err=True)
        click.echo(stored.dead_letter.original or b"", nl=False)
    elif form == "json":
        content = _content(stored, len(stored.dead_letter.original or b""))
        click.echo(orjson.dumps(content))
    else:
        click.echo("\n".join(_whole(stored)))


@dead_letters.command("replay")
@click.argument("numbers", nargs=-1, type=click.IntRange(min=0), metavar="[ID]...")
@click.option("--all", "every_letter", is_flag=True, help="Every dead letter.")
@_filters
@click.option(
    "--set-value",
    "value_file",
    type=click.File("rb"),
    metavar="FILE",
    help="Send what this file holds (-: standard input) in place of the original of the one ID: "
    "`show ID --raw` gives what to mend.",
)
@click.option(
    "--force",
    is_flag=True,
    help="Send hours and zones even of stores that have newer ones, and so replace those (a "
    "single row of hours joins them).",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be sent.")
@data_dir_option
def replay(
    *,
    numbers: tuple[int, ...],
    every_letter: bool,
    topic: str | None,
    file: str | None,
    reason: str | None,
    since: int | None,
    value_file: Any,
    force: bool,
    dry_run: bool,
    data_dir: Path | None,
) -> None:
    """Send originals again where they belong; name letters by ID, by filters, or say --all.

    What is surely still bad is not sent but listed. Doubles change nothing, so running it again
    is safe; the letters stay in the list until they expire. What the worker refuses after all
    becomes a new dead letter. Exit code 0: every letter was sent and acknowledged, or says what
    holds already.
    """
    wanted = DeadLetterFilter(topic, file, reason, since)
    filtered = wanted != DeadLetterFilter()
    if sum((bool(numbers), every_letter, filtered)) != 1:
        raise click.UsageError("name letters by ID, or by filters, or say --all")
    if value_file is not None and len(numbers) != 1:
        raise click.UsageError("--set-value goes with exactly one ID")
    value = None if value_file is None else value_file.read().removesuffix(b"\n")
    settings = resolve_bootstrap(read_settings(data_dir=data_dir))
    result = asyncio.run(
        _replay(settings, sorted(set(numbers)), wanted, value, force=force, dry_run=dry_run)
    )
    click.echo(_summary(result, dry_run=dry_run))
    if result.sent and not dry_run:
        click.echo(
            "what the worker refuses after all is a new dead letter: `store-uptime dead-letters "
            "list` shows it"
        )
    sys.exit(0 if result.complete else 1)


async def _replay(
    settings: Settings,
    numbers: Sequence[int],
    wanted: DeadLetterFilter,
    value: bytes | None,
    *,
    force: bool,
    dry_run: bool,
) -> ReplayResult:
    lines = 0

    def show(line: str) -> None:
        nonlocal lines
        lines += 1
        if lines <= _SHOWN_LETTERS:
            click.echo(_printable(line), err=True)

    async with _log(settings, Process.REPLAY_LETTERS) as (log, reader):
        letters = log.iterate(wanted)
        if numbers:
            letters = _named(log, numbers, value)

        async def run(sink: RecordSink | None) -> ReplayResult:
            replay_ = DeadLetterReplay(settings, reader, sink, wall_clock, show, force=force)
            return await replay_.run(letters)

        if dry_run:
            result = await run(None)
        else:
            async with RecordSink(settings) as sink:
                result = await run(sink)
    if lines > _SHOWN_LETTERS:
        click.echo(f"... and {lines - _SHOWN_LETTERS:,} more", err=True)
    return result


@asynccontextmanager
async def _log(
    settings: Settings, process: Process
) -> AsyncIterator[tuple[DeadLetterLog, PartitionReader]]:
    # a broker that never saw a dead letter has no topic to ask for
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


def _line(stored: StoredDeadLetter) -> str:
    letter = _shown_letter(stored)
    original = "(no value)" if letter.original is None else _short(letter.original)
    return (
        f"{stored.offset:>8}  {_second(stored)}  {_source(letter)}  "
        f"{_printable(letter.reason[:_SHOWN_REASON])}  |  {original}"
    )


def _row(stored: StoredDeadLetter) -> dict[str, Any]:
    """The JSON form of `list`: as `show` has it, but for the original's length."""
    letter = _shown_letter(stored)
    shortened = replace(
        letter, original=letter.original[:_SHOWN_ORIGINAL] if letter.original else letter.original
    )
    return _content(replace(stored, dead_letter=shortened), len(stored.dead_letter.original or b""))


def _content(stored: StoredDeadLetter, original_bytes: int) -> dict[str, Any]:
    letter = _shown_letter(stored)
    return {
        "id": stored.offset,
        "kept_at": format_instant(stored.stored_at),
        "source": letter.source,
        "reason": letter.reason,
        "original": _text_or_base64(letter.original),
        "original_bytes": original_bytes,
        "key": _text_or_base64(letter.key),
        "truncated": letter.truncated,
    }


def _whole(stored: StoredDeadLetter) -> Iterator[str]:
    letter = _shown_letter(stored)
    yield f"id:        {stored.offset}"
    yield f"kept at:   {format_instant(stored.stored_at)}"
    for name, value in letter.source.items():
        yield f"{_printable(name) + ':':<10} {_printable(str(value))}"
    yield f"reason:    {_printable(letter.reason)}"
    if letter.key is not None:
        yield f"key:       {_decoded(letter.key)}"
    if letter.original is None:
        yield "original:  (no value)"
        return
    kept_part = ", the beginning of more" if letter.truncated else ""
    yield f"original:  {len(stored.dead_letter.original or b''):,} bytes{kept_part}"
    yield _decoded(letter.original)


def _source(letter: DeadLetter) -> str:
    source = letter.source
    match source:
        case {"topic": topic, "partition": partition, "offset": offset, "last_offset": last}:
            return _printable(f"{topic}/{partition}/{offset}-{last}")
        case {"topic": topic, "partition": partition, "offset": offset}:
            return _printable(f"{topic}/{partition}/{offset}")
        case {"file": file, "line": line}:
            return _printable(f"{file}:{line}")
        case {"http": request, "path": path}:
            item = f", item {source['item']}" if "item" in source else ""
            return _printable(f"{path} ({request}{item})")
    return "(unknown source)"


def _second(stored: StoredDeadLetter) -> str:
    return format_instant(stored.stored_at // SECOND * SECOND)


def _shown_letter(stored: StoredDeadLetter) -> DeadLetter:
    """A letter as it is shown: of a webhook's URL scheme and host, for its path may be a secret."""
    letter = stored.dead_letter
    if letter.source.get("topic") != WEBHOOKS.name:
        return letter
    original = None if letter.original is None else _URL.sub(rb"\1\2/...", letter.original)
    return replace(letter, original=original)


def _short(data: bytes) -> str:
    if len(data) <= _SHOWN_ORIGINAL:
        return _decoded(data)
    return f"{_decoded(data[:_SHOWN_ORIGINAL], whole=False)}... ({len(data):,} bytes)"


def _decoded(data: bytes, *, whole: bool = True) -> str:
    """Text as it is, other bytes in base64, nothing that a terminal would obey."""
    try:
        # a character that is cut at the end of a part is left out
        return _printable(_Utf8().decode(data, final=whole))
    except UnicodeDecodeError:
        return f"base64:{base64.b64encode(data).decode()}"


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _text_or_base64(data: bytes | None) -> str | dict[str, str] | None:
    if data is None:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def _summary(result: ReplayResult, *, dry_run: bool) -> str:
    sent = "would be sent" if dry_run else "sent and acknowledged"
    parts = [f"{result.sent:,} {sent}"]
    for count, what in (
        (result.unchanged, "say what holds already"),
        (
            result.superseded,
            "left alone: their stores have newer hours or zones (--force sends them)",
        ),
        (result.rejected_again, "still bad"),
        (result.not_replayable, "cannot be replayed"),
    ):
        if count:
            parts.append(f"{count:,} {what}")
    letters = "1 dead letter" if result.total == 1 else f"{result.total:,} dead letters"
    return f"{letters}: {', '.join(parts)}"
