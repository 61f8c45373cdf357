"""Renders dead letters, and the result of a replay, as text or JSON."""

from __future__ import annotations

import base64
import codecs
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from stream_app.contracts.dead_letters import text_or_base64
from stream_app.contracts.topics import WEBHOOKS
from stream_app.domain.timestamps import SECOND, format_instant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from producers.dead_letters.log import StoredDeadLetter
    from producers.dead_letters.replay import ReplayResult
    from stream_app.contracts.dead_letters import DeadLetter

_MAX_REASON_CHARACTERS: Final = 160
_MAX_ORIGINAL_BYTES: Final = 100

_URL: Final = re.compile(
    rb"(https?:(?:\\?/){2})(?:[^\s/?#\"@]*@)?([^\s/?#\\\"]*)[^\s\"]*", re.IGNORECASE
)
"""Matches a URL: its scheme, its host and the rest; JSON may write a slash as \\/."""

_Utf8: Final = codecs.getincrementaldecoder("utf-8")


def to_line(stored: StoredDeadLetter) -> str:
    """Write a dead letter as one line of a list."""
    dead_letter = _without_secrets(stored)
    original = "(no value)" if dead_letter.original is None else _short(dead_letter.original)
    return (
        f"{stored.offset:>8}  {_whole_second(stored)}  {_source(dead_letter)}  "
        f"{printable(dead_letter.reason[:_MAX_REASON_CHARACTERS])}  |  {original}"
    )


def to_row(stored: StoredDeadLetter) -> dict[str, Any]:
    """Make the JSON form of a dead letter in a list, in which a long original is cut."""
    original = _without_secrets(stored).original
    shortened = None if original is None else original[:_MAX_ORIGINAL_BYTES]
    return {**to_content(stored), "original": text_or_base64(shortened)}


def to_content(stored: StoredDeadLetter) -> dict[str, Any]:
    """Make the JSON form of a whole dead letter."""
    dead_letter = _without_secrets(stored)
    return {
        "id": stored.offset,
        "kept_at": format_instant(stored.stored_at),
        "source": dead_letter.source,
        "reason": dead_letter.reason,
        "original": text_or_base64(dead_letter.original),
        "original_bytes": len(stored.dead_letter.original or b""),
        "key": text_or_base64(dead_letter.key),
        "truncated": dead_letter.truncated,
    }


def to_lines(stored: StoredDeadLetter) -> Iterator[str]:
    """Write a whole dead letter as lines of text."""
    dead_letter = _without_secrets(stored)
    yield f"id:        {stored.offset}"
    yield f"kept at:   {format_instant(stored.stored_at)}"
    for name, value in dead_letter.source.items():
        yield f"{printable(name) + ':':<10} {printable(str(value))}"
    yield f"reason:    {printable(dead_letter.reason)}"
    if dead_letter.key is not None:
        yield f"key:       {_decoded(dead_letter.key)}"
    if dead_letter.original is None:
        yield "original:  (no value)"
        return
    kept_part = ", the beginning of a longer one" if dead_letter.truncated else ""
    yield f"original:  {len(stored.dead_letter.original or b''):,} bytes{kept_part}"
    yield _decoded(dead_letter.original)


def _source(dead_letter: DeadLetter) -> str:
    source = dead_letter.source
    match source:
        case {"topic": topic, "partition": partition, "offset": offset, "last_offset": last}:
            return printable(f"{topic}/{partition}/{offset}-{last}")
        case {"topic": topic, "partition": partition, "offset": offset}:
            return printable(f"{topic}/{partition}/{offset}")
        case {"file": file, "line": line}:
            return printable(f"{file}:{line}")
        case {"http": request, "path": path}:
            item = f", item {source['item']}" if "item" in source else ""
            return printable(f"{path} ({request}{item})")
    return "(unknown source)"


def _whole_second(stored: StoredDeadLetter) -> str:
    return format_instant(stored.stored_at // SECOND * SECOND)


def _without_secrets(stored: StoredDeadLetter) -> DeadLetter:
    """Cut a webhook's URL down to its scheme and host: its path may be a secret."""
    dead_letter = stored.dead_letter
    if dead_letter.source.get("topic") != WEBHOOKS.name or dead_letter.original is None:
        return dead_letter
    return replace(dead_letter, original=_URL.sub(rb"\1\2/...", dead_letter.original))


def _short(data: bytes) -> str:
    if len(data) <= _MAX_ORIGINAL_BYTES:
        return _decoded(data)
    return f"{_decoded(data[:_MAX_ORIGINAL_BYTES], whole=False)}... ({len(data):,} bytes)"


def _decoded(data: bytes, *, whole: bool = True) -> str:
    """Return the text of UTF-8 bytes, made printable, and other bytes in base64."""
    try:
        # a character that is cut at the end of a part is left out
        return printable(_Utf8().decode(data, final=whole))
    except UnicodeDecodeError:
        return f"base64:{base64.b64encode(data).decode()}"


def printable(text: str) -> str:
    """Escape the characters that a terminal does not show, or takes as a command."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def summarize(result: ReplayResult, *, dry_run: bool) -> str:
    """Write what a replay did, or would do, as one line."""
    sent = "would be sent" if dry_run else "sent and acknowledged"
    parts = [f"{result.sent:,} {sent}"]
    for count, what in (
        (result.unchanged, "not sent: their stores have the same hours or timezone"),
        (
            result.superseded,
            "not sent: their stores have newer hours or timezones (--force sends them)",
        ),
        (result.rejected_again, "still bad"),
        (result.not_replayable, "cannot be replayed"),
    ):
        if count:
            parts.append(f"{count:,} {what}")
    dead_letters = "1 dead letter" if result.total == 1 else f"{result.total:,} dead letters"
    return f"{dead_letters}: {', '.join(parts)}"
