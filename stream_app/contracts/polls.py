"""Every record on the wire: how it is written, how it is read, when it is refused.

Readers are lenient in what semantics allow (case, spaces, zones) and refuse the rest with
a reason; writers have one form. No function here does IO or asks for the time.

Records that any client may write (polls, hours, zones, requests) have no other fields than their
own, as the published schemas say: a misspelt field would be taken for left out. Records that only
workers and the API write may have more, so that two versions can run side by side.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, replace
from itertools import repeat
from operator import lshift, or_
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from stream_app.contracts.json_text import parse_json
from stream_app.contracts.topics import MAX_STATE_BYTES
from stream_app.domain.business_hours import whole_day
from stream_app.domain.identifiers import canonical_prefix, canonical_uuid, is_canonical
from stream_app.domain.timestamps import (
    LATEST,
    SECOND,
    check_instant,
    format_instant,
    parse_instant,
)
from stream_app.errors import RecordError

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_POLLS_PER_RECORD: Final = 512
"""What our producers put in one record: about 11 kB of JSON, one or two table writes."""

MAX_HOURS_ROWS: Final = 1_000
"""Rows of business hours that one store may have."""

KEPT_BYTES: Final = 1_000_000
"""Of an original that is too large for a dead letter. A byte takes up to six in JSON: this fits."""

_MAX_LETTER_BYTES: Final = MAX_STATE_BYTES - 1000

MAX_ZONE_LENGTH: Final = 100
"""Characters that the name of a zone may have."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_STATUS: Final = {"active": True, "inactive": False}
_SHOWN: Final = 60
_MOST: Final = 2**63 - 1
"""The largest number that a database takes."""


def shown(value: object) -> str:
    """The beginning of a value from outside, on one line, for a reason."""
    if isinstance(value, str):
        return repr(value[:_SHOWN])
    try:
        return orjson.dumps(value)[:_SHOWN].decode(errors="replace")
    except orjson.JSONEncodeError:
        # orjson reads deeper nesting than it writes
        return f"a {type(value).__name__}, deeply nested"


def listed(names: Iterable[str]) -> str:
    """One or more names as `a, b and c`."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def parse_uuid(text: object, what: str = "store_id") -> str:
    """The canonical lower-case form of a UUID in text.

    Raises:
        RecordError: not a UUID.
    """
    uuid = canonical_uuid(text) if isinstance(text, str) else None
    if uuid is not None:
        return uuid
    raise RecordError(f"{what} is not a UUID: {shown(text)}")


def parse_uuid_prefix(text: str, what: str) -> str:
    """The canonical lower-case form of the beginning of a UUID, without a dash at its end.

    Raises:
        RecordError: no UUID begins so.
    """
    prefix = canonical_prefix(text)
    if prefix is None:
        raise RecordError(f"{what} is not the beginning of a UUID: {shown(text)}")
    return prefix


def parse_status(text: object) -> bool:
    """True for `active`, False for `inactive`, in any case.

    Raises:
        RecordError: neither of the two.
    """
    if isinstance(text, str):
        active = _STATUS.get(text)
        if active is None:
            active = _STATUS.get(text.strip().lower())
        if active is not None:
            return active
    raise RecordError(f"status is neither active nor inactive: {shown(text)}")


def status_name(active: bool) -> str:
    """`active` or `inactive`."""
    return "active" if active else "inactive"


def object_of(value: bytes | None) -> dict[str, Any]:
    """The JSON object in a record's value.

    Raises:
        RecordError: no value, not JSON, not an object.
    """
    if value is None:
        raise RecordError("the record has no value")
    content = parse_json(value)
    if not isinstance(content, dict):
        raise RecordError(f"not a JSON object but {type(content).__name__}")
    return content


def known_fields_only(content: dict[str, Any], *known: str) -> None:
    """Refuse fields that mean nothing here: a misspelt one must not be ignored.

    Raises:
        RecordError: there is one.
    """
    if not content.keys() <= set(known):
        unknown = ", ".join(sorted(content.keys() - set(known)))
        raise RecordError(f"unknown fields: {shown(unknown)}; known are {listed(known)}")


def field_of(content: dict[str, Any], name: str) -> Any:
    """A field that must be there.

    Raises:
        RecordError: it is missing.
    """
    try:
        return content[name]
    except KeyError:
        raise RecordError(f"{name} is missing") from None


def count_of(content: dict[str, Any], name: str, least: int) -> int:
    """A whole number of a record, from `least` on.

    Raises:
        RecordError: it is no such number.
    """
    count = field_of(content, name)
    if type(count) is not int or not least <= count <= _MOST:
        raise RecordError(f"{name} is not a number from {least} on: {shown(count)}")
    return count


def ahead_of_clock(instant: int, clock: int, tolerance: int) -> str | None:
    """Why a poll is refused for being dated too far ahead; None where it is not.

    Args:
        instant: of the poll, µs.
        clock: what the poll is held against, µs. The broker's append time of its record is what
            counts in the end; whoever asks earlier must ask again with that.
        tolerance: the setting FUTURE_TOLERANCE, µs.
    """
    if instant <= clock + tolerance:
        return None
    return f"{format_instant(instant)} lies ahead of the clock ({format_instant(clock)})"


def before_earliest(instant: int, earliest: int) -> str | None:
    """Why a poll is refused for being dated before any that can be meant; None where it is not.

    Args:
        instant: of the poll, µs.
        earliest: the setting EARLIEST_POLL, µs.
    """
    if instant >= earliest:
        return None
    for unit, microseconds in (("milliseconds", 1000), ("seconds", SECOND)):
        if earliest <= instant * microseconds < LATEST:
            guess = f"a wrong unit? Read as {unit} it is {format_instant(instant * microseconds)}"
            break
    else:
        guess = "a wrong unit, or a clock that was never set?"
    return (
        f"{format_instant(instant)} lies before {format_instant(earliest)} "
        f"(STORE_UPTIME_EARLIEST_POLL): {guess}"
    )


def split_ill_dated(
    polls: list[tuple[int, bool]], clock: int, tolerance: int, earliest: int
) -> tuple[list[tuple[int, bool]], list[str]]:
    """The polls that are neither too early nor too far ahead of the clock, and reasons why not.

    Args:
        polls: of one record.
        clock: as `ahead_of_clock` takes it.
        tolerance: likewise.
        earliest: as `before_earliest` takes it.

    Returns:
        the good polls, and a reason for each of the others.
    """
    reasons = [
        before_earliest(instant, earliest) or ahead_of_clock(instant, clock, tolerance)
        for instant, _ in polls
    ]
    good = [poll for poll, reason in zip(polls, reasons, strict=True) if reason is None]
    return good, [reason for reason in reasons if reason is not None]


@dataclass(frozen=True, slots=True)
class PollBatch:
    """Polls of one store: `(instant in µs, active)` pairs in any order, duplicates allowed."""

    store_id: str
    polls: list[tuple[int, bool]]


def encode_poll(store_id: str, instant: int, *, active: bool) -> bytes:
    """Write the single form of `store-status`: what a store that publishes itself sends."""
    return orjson.dumps(
        {
            "store_id": store_id,
            "status": status_name(active),
            "timestamp_utc": format_instant(instant),
        }
    )


def encode_poll_batch(store_id: str, polls: list[tuple[int, bool]]) -> bytes:
    """Write the batch form of `store-status`: what our producers send."""
    return orjson.dumps({"store_id": store_id, "polls": [[t, int(up)] for t, up in polls]})


def decode_poll_batch(value: bytes | None) -> tuple[PollBatch, list[str]]:
    """Read a `store-status` record, single poll or batch.

    Returns:
        the good polls, and a reason for each poll that was refused.

    Raises:
        RecordError: nothing of the record can be used.
    """
    packed, refused = decode_packed_polls(value)
    polls = [(poll >> 1, bool(poll & 1)) for poll in packed.polls]
    return PollBatch(packed.store_id, polls), refused


class PackedPolls(NamedTuple):
    """Polls of one store as `domain.polls` packs them, in any order, duplicates allowed."""

    store_id: str
    polls: list[int]


def decode_packed_polls(value: bytes | None) -> tuple[PackedPolls, list[str]]:
    """As `decode_poll_batch`, for whoever keeps the polls packed."""
    plain = _plain_batch(value)
    if plain is not None:
        return plain, []
    content = object_of(value)
    store_id = parse_uuid(field_of(content, "store_id"))
    if "polls" not in content:
        known_fields_only(content, "store_id", "status", "timestamp_utc")
        instant = parse_instant(field_of(content, "timestamp_utc"))
        active = parse_status(field_of(content, "status"))
        return PackedPolls(store_id, [instant << 1 | active]), []
    known_fields_only(content, "store_id", "polls")
    items = content["polls"]
    if not isinstance(items, list):
        raise RecordError(f"polls is not a list but {type(items).__name__}")
    polls: list[int] = []
    refused: list[str] = []
    for index, item in enumerate(items):
        match item:
            # bool is an int in Python: `True` as an instant is a wrong type, not 1 µs
            case [int() as instant, 0 | 1 as up] if type(instant) is int:
                try:
                    polls.append(check_instant(instant) << 1 | int(up))
                except RecordError as error:
                    refused.append(f"poll {index}: {error}")
            case _:
                refused.append(f"poll {index}: not [microseconds, 0 or 1]: {shown(item)}")
    if not polls and not refused:
        raise RecordError("polls is empty")
    return PackedPolls(store_id, polls), refused


def _plain_batch(value: bytes | None) -> PackedPolls | None:
    """A batch exactly as `encode_poll_batch` writes it; None: it is not one, or not a good one.

    Reads the numbers as one flat list: a list for every poll, and a look at each, take three
    times as long. The brackets and commas that are left without the digits tell that it is one.
    """
    if value is None or value[:13] != b'{"store_id":"' or value[49:60] != b'","polls":[':
        return None
    store_id = value[13:49].decode("latin-1")
    brackets = value[59:-1].translate(None, b"0123456789")
    if (
        not is_canonical(store_id)
        or brackets != b"[" + b"[,]," * (len(brackets) // 4 - 1) + b"[,]]"
        or value[-1:] != b"}"
    ):
        return None
    try:
        numbers = orjson.loads(b"[" + value[61:-3].replace(b"],[", b",") + b"]")
    except orjson.JSONDecodeError:
        return None
    instants, ups = numbers[::2], numbers[1::2]
    # a number that is too large for 64 bits is read as a float
    if not {0, 1}.issuperset(ups) or set(map(type, instants)) != {int}:
        return None
    if max(instants) >= LATEST:
        return None
    return PackedPolls(store_id, list(map(or_, map(lshift, instants, repeat(1)), ups)))


@dataclass(frozen=True, slots=True)
class HoursRecord:
    """All business-hours rows of a store: `(day, start, end)`, 0 = Monday, times as in the file."""

    store_id: str
    hours: tuple[tuple[int, str, str], ...]


def encode_hours(store_id: str, hours: list[tuple[int, str, str]]) -> bytes:
    """Write a `store-business-hours` record."""
    return orjson.dumps({"store_id": store_id, "hours": hours})


def decode_hours(value: bytes | None) -> HoursRecord:
    """Read a `store-business-hours` record: shapes only, the domain judges the times.

    Raises:
        RecordError: the record cannot be used; hours are taken as a whole or not at all.
    """
    content = object_of(value)
    store_id = parse_uuid(field_of(content, "store_id"))
    known_fields_only(content, "store_id", "hours")
    items = field_of(content, "hours")
    if not isinstance(items, list):
        raise RecordError(f"hours is not a list but {type(items).__name__}")
    if len(items) > MAX_HOURS_ROWS:
        raise RecordError(f"{len(items)} rows of hours; {MAX_HOURS_ROWS} are the most")
    rows: list[tuple[int, str, str]] = []
    for index, item in enumerate(items):
        match item:
            case [number, str() as start, str() as end] if (day := whole_day(number)) is not None:
                rows.append((day, start, end))
            case _:
                raise RecordError(f"row {index}: not [day, start, end]: {shown(item)}")
    return HoursRecord(store_id, tuple(rows))


@dataclass(frozen=True, slots=True)
class ZoneRecord:
    """The zone name of a store, known or not: an unknown one means the default zone."""

    store_id: str
    timezone: str


def encode_zone(store_id: str, timezone: str) -> bytes:
    """Write a `store-timezones` record."""
    return orjson.dumps({"store_id": store_id, "timezone_str": timezone})


def zone_name_in(text: object, what: str) -> str:
    """The name of a zone, known or not, without spaces around it.

    Raises:
        RecordError: it is no text, too long, or cannot be shown.
    """
    if not isinstance(text, str):
        raise RecordError(f"{what} is not a text but {type(text).__name__}")
    if len(text) > MAX_ZONE_LENGTH:
        raise RecordError(f"{what} is {len(text)} characters long")
    name = text.strip()
    if _CONTROL.search(name):
        # the name is shown where a line break would be more than a part of it
        raise RecordError(f"{what} has control characters: {shown(name)}")
    return name


def decode_zone(value: bytes | None) -> ZoneRecord:
    """Read a `store-timezones` record.

    Raises:
        RecordError: the record cannot be used.
    """
    content = object_of(value)
    store_id = parse_uuid(field_of(content, "store_id"))
    known_fields_only(content, "store_id", "timezone_str")
    timezone = field_of(content, "timezone_str")
    return ZoneRecord(store_id, zone_name_in(timezone, "timezone_str"))


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What was refused, why, and where it stood.

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
"""What a source says besides where the original stood."""


def dead_letter_key(letter: DeadLetter) -> bytes:
    """Where the original stood: a replay of the same fault has the same key."""
    where = (part for name, part in letter.source.items() if name not in _HOW_TO_READ)
    return "/".join(map(str, where)).encode()


def encode_dead_letter(letter: DeadLetter) -> bytes:
    """Write a `dead-letters` record; bytes that are not UTF-8 go as base64."""
    content: dict[str, Any] = {
        "source": letter.source,
        "reason": letter.reason,
        "original": _as_text(letter.original),
        "key": _as_text(letter.key),
    }
    if letter.truncated:
        content["truncated"] = True
    return orjson.dumps(content)


def bounded_dead_letter(letter: DeadLetter) -> bytes:
    """Write a `dead-letters` record that its topic takes: of a large original the beginning."""
    value = encode_dead_letter(letter)
    return value if len(value) <= _MAX_LETTER_BYTES else encode_dead_letter(_shortened(letter))


def _shortened(letter: DeadLetter) -> DeadLetter:
    original = letter.original or b""
    return replace(
        letter,
        reason=f"{letter.reason[:1000]} (the first {KEPT_BYTES} of {len(original)} bytes)",
        original=original[:KEPT_BYTES],
        key=letter.key[:1000] if letter.key else letter.key,
        truncated=True,
    )


def decode_dead_letter(value: bytes | None) -> DeadLetter:
    """Read a `dead-letters` record; `truncated` came later than the rest and may be missing.

    Raises:
        RecordError: it cannot be used.
    """
    content = object_of(value)
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


def _as_text(data: bytes | None) -> str | dict[str, str] | None:
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


@dataclass(frozen=True, slots=True)
class StoreRecord:
    """A store that exists, because a poll, hours or a zone named it."""

    store_id: str


def encode_store(store: StoreRecord) -> bytes:
    """Write a `stores` record."""
    return orjson.dumps({"store_id": store.store_id})


def decode_store(value: bytes | None) -> StoreRecord:
    """Read a `stores` record.

    Raises:
        RecordError: it cannot be used.
    """
    return StoreRecord(parse_uuid(field_of(object_of(value), "store_id")))
