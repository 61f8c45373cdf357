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
"""The first bytes that are stored of an original that is too large.
They fit in a record, since JSON writes up to six bytes for one."""

_MAX_DEAD_LETTER_BYTES: Final = MAX_STATE_BYTES - 1000
"""The largest value of a dead letter in bytes; the rest is for the record's key and headers."""


@closed
class RecordSource(TypedDict):
    """A record of a topic."""

    topic: str
    """The topic."""
    partition: Count
    """The partition of the topic."""
    offset: Count
    """The offset in the partition."""
    last_offset: NotRequired[Count]
    """The last offset, if the dead letter is of several records that cannot be read."""


@closed
class FileSource(TypedDict):
    """A row of a file."""

    file: str
    """The path of the file, as it was given."""
    line: Count
    """The number of the line; the header is line 1."""
    kind: NotRequired[str]
    """The kind of the rows in the file."""
    columns: NotRequired[str]
    """The header of the file."""


@closed
class RequestSource(TypedDict):
    """A body sent by HTTP, or one item of it."""

    http: Uuid
    """The id of the request."""
    path: str
    """The path of the request."""
    item: NotRequired[Count]
    """The index of the item in a JSON array, or its line in NDJSON, from 0 on."""


@closed
class Binary(TypedDict):
    """Bytes that are not UTF-8."""

    base64: Annotated[str, Field(json_schema_extra={"contentEncoding": "base64"})]
    """The bytes in base64."""


@closed
class DeadLetterRecord(TypedDict):
    """Input that was rejected, with the reason and its source."""

    source: RecordSource | FileSource | RequestSource
    """The source of the input."""
    reason: str
    """The reason why the input was rejected, in words."""
    original: str | Binary | None
    """The input as it was received; null for a record without a value."""
    key: str | Binary | None
    """The key of the record; null for a record without a key, and for other input."""
    truncated: NotRequired[Literal[True]]
    """True if only the beginning of the original is stored."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A rejected input, the reason, and its source.

    Attributes:
        source: the place that the input came from, in one of three forms. A record has `topic`,
            `partition` and `offset`; it also has `last_offset` if no record between both offsets
            could be read, and then there is no original. A row of a file has `file`, `line`,
            `kind` (of the rows) and `columns` (the header); earlier versions did not write the
            last two. A request by HTTP has `http` (a UUID of the request) and `path`, such as
            `/status` or `/stores/<id>/timezone`, with the store id as it was sent: `path` and
            `original` are all that is needed to send the item again. For one of many items in a
            body there is also `item`, which counts from 0: the index in a JSON array, or the line
            in NDJSON (blank lines count).
        reason: one line that says why the input was rejected.
        original: the bytes as they were received: a record's value, a row of a file, a request's
            body, or one item if the source has `item` (an item of a JSON array is written anew,
            so its spaces are lost). None for a record without a value.
        key: the bytes of the record's key; None for a record without a key, and for other input.
        truncated: True if only the beginning of the original is stored.
    """

    source: dict[str, str | int]
    reason: str
    original: bytes | None
    key: bytes | None = None
    truncated: bool = False


_HOW_TO_READ: Final = {"kind", "columns"}
"""The fields of a source that describe the original and do not locate it."""


def dead_letter_key(dead_letter: DeadLetter) -> bytes:
    """Return the key, which is the place of the original: it is the same after a replay."""
    where = (part for name, part in dead_letter.source.items() if name not in _HOW_TO_READ)
    return "/".join(map(str, where)).encode()


def encode_dead_letter(dead_letter: DeadLetter) -> bytes:
    """Write a `dead-letters` record; bytes that are not UTF-8 are written as base64."""
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
