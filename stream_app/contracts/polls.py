"""The records of `store-status` with polls: one poll of a store, or a batch of its polls.

A batch is JSON, or packed as `packed_polls` says; both are read for ever. The JSON records are
parsed by hand, and not by their models as other records are: a batch is accepted poll by poll, and
a model would take several times as long for the numbers of a batch. A test holds the parser to the
models, which are published. No `from __future__ import annotations`: pydantic reads them.
"""

from dataclasses import dataclass
from itertools import repeat
from operator import lshift, or_
from typing import Annotated, Final, Literal, NotRequired

import orjson
from pydantic import Field, PlainValidator
from typing_extensions import TypedDict

from stream_app.contracts.fields import (
    Instant,
    InstantText,
    Microseconds,
    Status,
    StoreId,
    closed,
    field_of,
    object_of,
    parse_status,
    parse_uuid,
    reject_unknown_fields,
    shown,
    status_name,
    validate,
)
from stream_app.contracts.packed_polls import PackedPolls, decode_packed_batch, is_packed_batch
from stream_app.domain.identifiers import is_canonical
from stream_app.domain.timestamps import (
    LATEST,
    SECOND,
    check_instant,
    format_instant,
    parse_instant,
)
from stream_app.errors import RecordError

MAX_POLLS_PER_RECORD: Final = 512
"""The most polls that our producers put in one record: about 11 kB of JSON, or 4 kB packed.
A worker stores them with one or two table writes."""


@closed
class PollRecord(TypedDict):
    """One poll of a store, as a store sends it that publishes itself."""

    store_id: StoreId
    status: Status
    """The status that the store reported."""
    timestamp_utc: Instant
    """The time of the poll."""


@closed
class PollBatchRecord(TypedDict):
    """A batch of polls of one store, in any order, duplicates allowed."""

    store_id: StoreId
    polls: Annotated[list[tuple[Microseconds, Literal[0, 1]]], Field(min_length=1)]
    """Pairs of the poll's time, in microseconds since 1970, and 1 for active or 0 for inactive."""


def _time_or_now(text: object) -> int | None:
    return None if text is None else parse_instant(text)


_TimeOrNow = Annotated[
    int | None, PlainValidator(_time_or_now, json_schema_input_type=InstantText | None)
]


@closed
class PollBody(TypedDict):
    """A poll of a store."""

    status: Status
    timestamp_utc: NotRequired[_TimeOrNow]
    """The time of the poll; if it is left out or null, the time of the request."""


@closed
class PollItem(TypedDict):
    """A poll of any store."""

    store_id: StoreId
    status: Status
    timestamp_utc: NotRequired[_TimeOrNow]
    """The time of the poll; if it is left out or null, the time of the request."""


_ITEM_FIELDS: Final = frozenset(PollItem.__annotations__)

Poll = tuple[int, bool]
"""A poll is `(instant in µs, active)`."""


def parse_poll_body(content: object, now: int) -> Poll:
    """Parse the poll of `POST /stores/{store_id}/status`.

    Args:
        content: the body, as parsed JSON.
        now: µs; the time of a poll that does not say its own.

    Raises:
        RecordError: the body is not a valid poll.
    """
    body = validate(PollBody, content)
    return _instant_or(now, body.get("timestamp_utc")), body["status"]


def parse_poll_item(content: object, now: int) -> tuple[str, Poll]:
    """Parse the store and the poll of one item of `POST /status`.

    Args:
        content: the item, as parsed JSON.
        now: µs; the time of a poll that does not say its own.

    Raises:
        RecordError: the item is not a valid poll.
    """
    if type(content) is dict and content.keys() == _ITEM_FIELDS:
        # by hand, in the order of the model's fields: the model takes twice the time
        store_id, active = parse_uuid(content["store_id"]), parse_status(content["status"])
        return store_id, (_instant_or(now, _time_or_now(content["timestamp_utc"])), active)
    item = validate(PollItem, content)
    return item["store_id"], (_instant_or(now, item.get("timestamp_utc")), item["status"])


def _instant_or(now: int, instant: int | None) -> int:
    return now if instant is None else instant


def ahead_of_clock(instant: int, clock: int, tolerance: int) -> str | None:
    """Return the reason to reject a poll that lies too far ahead of the clock, or None.

    Args:
        instant: µs; the time of the poll.
        clock: µs; the time that the poll is compared with. The broker's append time of its record
            decides: a caller that does not know it yet must check again later.
        tolerance: µs; the setting FUTURE_TOLERANCE.
    """
    if instant <= clock + tolerance:
        return None
    return f"{format_instant(instant)} lies ahead of the clock ({format_instant(clock)})"


def before_earliest(instant: int, earliest: int) -> str | None:
    """Return the reason to reject a poll that is earlier than any plausible one, or None.

    Args:
        instant: µs; the time of the poll.
        earliest: µs; the setting EARLIEST_POLL.
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
    """Separate the polls of one record that are too early or too far ahead of the clock.

    Args:
        polls: the polls of the record.
        clock: µs; see `ahead_of_clock`.
        tolerance: µs; see `ahead_of_clock`.
        earliest: µs; see `before_earliest`.

    Returns:
        the other polls, and a reason for each rejected one.
    """
    reasons = [
        before_earliest(instant, earliest) or ahead_of_clock(instant, clock, tolerance)
        for instant, _ in polls
    ]
    good = [poll for poll, reason in zip(polls, reasons, strict=True) if reason is None]
    return good, [reason for reason in reasons if reason is not None]


@dataclass(frozen=True, slots=True)
class PollBatch:
    """Polls of one store, as pairs `(instant in µs, active)` in any order, duplicates allowed."""

    store_id: str
    polls: list[tuple[int, bool]]


def encode_poll(store_id: str, instant: int, *, active: bool) -> bytes:
    """Write a `store-status` record of one poll, as a store sends it that publishes itself."""
    return orjson.dumps(
        {
            "store_id": store_id,
            "status": status_name(active),
            "timestamp_utc": format_instant(instant),
        }
    )


def encode_poll_batch(store_id: str, polls: list[tuple[int, bool]]) -> bytes:
    """Write a `store-status` record of a batch of polls as JSON."""
    return orjson.dumps({"store_id": store_id, "polls": [[t, int(up)] for t, up in polls]})


def decode_poll_batch(value: bytes | None) -> tuple[PollBatch, list[str]]:
    """Read a `store-status` record with one poll or a batch of polls.

    Returns:
        the valid polls, and a reason for each rejected one.

    Raises:
        RecordError: the record as a whole is rejected.
    """
    packed, rejected = decode_packed_polls(value)
    polls = [(poll >> 1, bool(poll & 1)) for poll in packed.polls]
    return PollBatch(packed.store_id, polls), rejected


def decode_packed_polls(value: bytes | None) -> tuple[PackedPolls, list[str]]:
    """Read a `store-status` record as `decode_poll_batch` does, and return packed polls."""
    if value is not None and is_packed_batch(value):
        return decode_packed_batch(value)
    plain = _plain_batch(value)
    if plain is not None:
        return plain, []
    content = object_of(value)
    store_id = parse_uuid(field_of(content, "store_id"))
    if "polls" not in content:
        reject_unknown_fields(content, "store_id", "status", "timestamp_utc")
        instant = parse_instant(field_of(content, "timestamp_utc"))
        active = parse_status(field_of(content, "status"))
        return PackedPolls(store_id, [instant << 1 | active]), []
    reject_unknown_fields(content, "store_id", "polls")
    items = content["polls"]
    if not isinstance(items, list):
        raise RecordError(f"polls is not a list but {type(items).__name__}")
    polls: list[int] = []
    rejected: list[str] = []
    for index, item in enumerate(items):
        match item:
            # bool is an int in Python: `True` as an instant is a wrong type, not 1 µs
            case [int() as instant, 0 | 1 as up] if type(instant) is int:
                try:
                    polls.append(check_instant(instant) << 1 | int(up))
                except RecordError as error:
                    rejected.append(f"poll {index}: {error}")
            case _:
                rejected.append(f"poll {index}: not [microseconds, 0 or 1]: {shown(item)}")
    if not polls and not rejected:
        raise RecordError("polls is empty")
    return PackedPolls(store_id, polls), rejected


def _plain_batch(value: bytes | None) -> PackedPolls | None:
    """Read a batch that is written exactly as `encode_poll_batch` does; return None for any other.

    It reads the numbers as one flat list, since a list for every poll and a check of each take
    three times as long. The brackets and commas without the digits show that it is such a batch.
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
