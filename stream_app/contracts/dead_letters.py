"""The records of `dead-letters`: input that was rejected, with the reason and its source."""

import base64
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final, Literal, NotRequired

import orjson
from pydantic import Field
from typing_extensions import TypedDict

from stream_app.contracts.fields import Count, Uuid, closed, field_of, own_object_of, shown
from stream_app.contracts.topics import MAX_STATE_BYTES
from stream_app.errors import RecordError

KEPT_BYTES: Final = 1_000_000
"""Bytes stored of an original that is too large. JSON writes up to six for one: they still fit."""

_MAX_DEAD_LETTER_BYTES: Final = MAX_STATE_BYTES - 1000
"""Largest value of a dead letter; the rest is for the record's key and headers."""


@closed
class RecordSource(TypedDict):
    """A record of a topic."""

    topic: str
    """The topic."""
    partition: Count
    """Its partition."""
    offset: Count
    """The offset in it."""
    last_offset: NotRequired[Count]
    """Of several records that cannot be read."""


@closed
class FileSource(TypedDict):
    """A row of a file."""

    file: str
    """The path, as it was given."""
    line: Count
    """The number of the line; the header is line 1."""
    kind: NotRequired[str]
    """What the rows of the file are."""
    columns: NotRequired[str]
    """The header of the file."""


@closed
class RequestSource(TypedDict):
    """A body sent by HTTP, or one item of it."""

    http: Uuid
    """Of the request."""
    path: str
    """The path of the request."""
    item: NotRequired[Count]
    """The index in a JSON array, the line in NDJSON."""


@closed
class Binary(TypedDict):
    """Bytes that are not UTF-8."""

    base64: Annotated[str, Field(json_schema_extra={"contentEncoding": "base64"})]
    """The bytes in base64."""


@closed
class DeadLetterRecord(TypedDict):
    """What was refused, why, and where it stood."""

    source: RecordSource | FileSource | RequestSource
    """Where it stood."""
    reason: str
    """Why it was refused, in words."""
    original: str | Binary | None
    """As it came; null: a record without a value."""
    key: str | Binary | None
    """Of the record, where there was one."""
    truncated: NotRequired[Literal[True]]
    """Only the beginning of the original is kept."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A rejected input, the reason, and its source.

    Attributes:
        source: `{"topic", "partition", "offset"}`, with `"last_offset"` where no record between
            both offsets could be read, so that there is no original; or
            `{"file", "line", "kind", "columns"}` (the
            last two: what its rows are, and the header; early letters lack them), or for HTTP
            `{"http", "path"}` and, for one of many in a body, `"item"`. `http` is a UUID of the
            request. `path` is what the request named, such as `/status` or
            `/stores/<id>/timezone`, with the store id as it was sent: together with `original`
            it is all that is needed to send the item again. `item` counts from 0: the index in
            a JSON array, the line in NDJSON (blank lines count).
        reason: one line.
        original: the bytes as they came: a record's value, a row of a file, a request's body, or
            the item alone where `item` is there (an item of a JSON array is written anew, so
            its spaces are lost). None for a record without a value.
        key: the record's key bytes, where there was one.
        truncated: True where only the beginning of the original is kept.
    """

    source: dict[str, str | int]
    reason: str
    original: bytes | None
    key: bytes | None = None
    truncated: bool = False


_HOW_TO_READ: Final = {"kind", "columns"}
"""Fields of a source that describe the original and do not locate it."""


def dead_letter_key(dead_letter: DeadLetter) -> bytes:
    """The key, which is the place of the original: the same fault has the same key at a replay."""
    where = (part for name, part in dead_letter.source.items() if name not in _HOW_TO_READ)
    return "/".join(map(str, where)).encode()


def encode_dead_letter(dead_letter: DeadLetter) -> bytes:
    """Write a `dead-letters` record; bytes that are not UTF-8 go as base64."""
    content: dict[str, Any] = {
        "source": dead_letter.source,
        "reason": dead_letter.reason,
        "original": text_or_base64(dead_letter.original),
        "key": text_or_base64(dead_letter.key),
    }
    if dead_letter.truncated:
        content["truncated"] = True
    return orjson.dumps(content)


def bounded_dead_letter(dead_letter: DeadLetter) -> bytes:
    """Write a `dead-letters` record that fits its topic: a large original is cut off."""
    value = encode_dead_letter(dead_letter)
    if len(value) <= _MAX_DEAD_LETTER_BYTES:
        return value
    return encode_dead_letter(_shortened(dead_letter))


def _shortened(dead_letter: DeadLetter) -> DeadLetter:
    original = dead_letter.original or b""
    return replace(
        dead_letter,
        reason=f"{dead_letter.reason[:1000]} (the first {KEPT_BYTES} of {len(original)} bytes)",
        original=original[:KEPT_BYTES],
        key=dead_letter.key[:1000] if dead_letter.key else dead_letter.key,
        truncated=True,
    )


def decode_dead_letter(value: bytes | None) -> DeadLetter:
    """Read a `dead-letters` record.

    It is parsed by hand, and is more lenient than the model: dead letters live for a month, and
    earlier versions wrote fewer fields and other sources.

    Raises:
        RecordError: it cannot be used.
    """
    content = own_object_of(value)
    source = field_of(content, "source")
    reason = field_of(content, "reason")
    if not isinstance(source, dict) or not isinstance(reason, str):
        raise RecordError("source is not an object, or reason not a text")
    return DeadLetter(
        source={name: part for name, part in source.items() if isinstance(part, str | int)},
        reason=reason,
        original=_as_bytes(field_of(content, "original"), "original"),
        key=_as_bytes(content.get("key"), "key"),
        truncated=content.get("truncated") is True,
    )


def text_or_base64(data: bytes | None) -> str | dict[str, str] | None:
    """Write bytes for JSON: as text where they are UTF-8, else as `{"base64": ...}`."""
    if data is None:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def _as_bytes(text: object, what: str) -> bytes | None:
    match text:
        case None:
            return None
        case str():
            return text.encode()
        case {"base64": str(encoded)}:
            try:
                return base64.b64decode(encoded, validate=True)
            except ValueError:
                pass
    raise RecordError(f"{what} is neither a text nor base64: {shown(text)}")
