"""What a dead letter was meant to be: read again by the rules that refused it.

Pure: a letter in, the facts that can be sent out, or the reason why there are none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from producers.csv_replay.header import find_columns
from producers.csv_replay.store_rows import hours_row
from producers.csv_replay.table import HOURS, KINDS, POLLS, pick_values
from stream_app.contracts.bodies import hours_in, poll_in, poll_item_in, zone_in
from stream_app.contracts.business_hours import HoursRecord, decode_hours
from stream_app.contracts.fields import parse_status, parse_uuid, shown
from stream_app.contracts.json_text import parse_json
from stream_app.contracts.polls import PollBatch, decode_poll_batch, split_ill_dated
from stream_app.contracts.report_requests import decode_request
from stream_app.contracts.stores import ZoneRecord, decode_zone, encode_zone
from stream_app.contracts.topics import (
    MAX_RECORD_BYTES,
    REPORT_REQUESTS,
    STORE_BUSINESS_HOURS,
    STORE_STATUS,
    STORE_TIMEZONES,
    WEBHOOKS,
)
from stream_app.contracts.webhooks import Webhook, decode_webhook
from stream_app.domain.business_hours import Row, WeeklyHours
from stream_app.domain.timestamps import parse_instant
from stream_app.errors import RecordError, StoreUptimeError

if TYPE_CHECKING:
    from stream_app.contracts.dead_letters import DeadLetter

_OF_A_STORE: Final = re.compile(r"/stores/([^/]+)/(status|business_hours|timezone)")
_MANY_POLLS: Final = "/status"


class NotReplayableError(RecordError):
    """The letter does not hold what it takes to send it again."""


@dataclass(frozen=True, slots=True)
class HoursRow:
    """One row of a store's business hours, which belongs to rows that are there already."""

    store_id: str
    row: Row


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """A request for a report, as it came, under the key that it goes out with."""

    key: str
    value: bytes


Fact = PollBatch | HoursRecord | HoursRow | ZoneRecord | RequestRecord | Webhook


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a letter holds.

    Attributes:
        fact: what can be sent.
        refused: reasons for the polls of a batch that are refused again.
    """

    fact: Fact
    refused: tuple[str, ...] = ()


def recover(
    letter: DeadLetter, *, taken: int, clock: int, tolerance: int, earliest: int = 0
) -> Recovered:
    """Read a letter's original again.

    Args:
        letter: the letter.
        taken: µs, when it was kept: the time of a live ping that named none.
        clock: µs, the wall clock.
        tolerance: µs; how far ahead of that a poll may be dated.
        earliest: µs; a poll dated earlier is refused.

    Raises:
        NotReplayableError: the letter says too little, whatever its original is.
        RecordError: the original is still bad.
    """
    if letter.truncated:
        raise NotReplayableError("only the beginning of the original was kept")
    match letter.source:
        case {"topic": str(), "last_offset": int()}:
            raise NotReplayableError("nothing of a batch that could not be read was kept")
        case {"topic": WEBHOOKS.name}:
            # with its patience anew
            webhook = decode_webhook(letter.original)
            recovered = Recovered(replace(webhook, requested_at=clock))
        case {"topic": str(topic)}:
            recovered = _record(topic, letter.original)
        case {"file": str(), "kind": str(kind), "columns": str(columns)}:
            recovered = _row(kind, columns, letter.original)
        case {"file": str()}:
            raise NotReplayableError(
                "an earlier version kept it without the columns of its file: mend the row in the "
                "file and run `store-uptime replay`"
            )
        case {"http": _, "path": str(path)}:
            whole = "item" not in letter.source
            recovered = Recovered(_request_item(path, letter.original, taken, whole=whole))
        case _:
            raise NotReplayableError(f"nothing is known of its source {shown(letter.source)}")
    return _checked(recovered, clock, tolerance, earliest)


def _record(topic: str, value: bytes | None) -> Recovered:
    if topic == STORE_STATUS.name:
        batch, refused = decode_poll_batch(value)
        return Recovered(batch, tuple(refused))
    if topic == STORE_BUSINESS_HOURS.name:
        return Recovered(decode_hours(value))
    if topic == STORE_TIMEZONES.name:
        return Recovered(decode_zone(value))
    if topic == REPORT_REQUESTS.name:
        return Recovered(RequestRecord(decode_request(value).key, value or b""))
    raise NotReplayableError(f"nothing is known of records of the topic {topic[:100]}")


def _row(kind_name: str, header: str, line: bytes | None) -> Recovered:
    kind = KINDS.get(kind_name)
    if kind is None:
        raise NotReplayableError(f"nothing is known of rows of {kind_name[:100]}")
    try:
        columns = find_columns(header.split(","), kind, "its header")
    except StoreUptimeError as error:
        raise NotReplayableError(str(error)) from None
    values = pick_values(line or b"", columns)
    if values is None:
        raise RecordError("a blank line")
    store_id = parse_uuid(values[0])
    if kind is POLLS:
        return Recovered(PollBatch(store_id, [(parse_instant(values[2]), parse_status(values[1]))]))
    if kind is HOURS:
        row, _ = hours_row(*values[1:])
        return Recovered(HoursRow(store_id, row))
    return Recovered(decode_zone(encode_zone(store_id, values[1])))


def _request_item(path: str, body: bytes | None, taken: int, *, whole: bool) -> Fact:
    of_a_store = _OF_A_STORE.fullmatch(path)
    if of_a_store is None and path != _MANY_POLLS:
        raise NotReplayableError(f"nothing is known of requests to {path[:100]}")
    if of_a_store is None and whole:
        raise NotReplayableError(
            "the whole body of a POST /status was refused: mend what `show ID --raw` gives and "
            "post it again"
        )
    content = parse_json(body or b"")
    if of_a_store is None:
        store_id, poll = poll_item_in(content, taken)
        return PollBatch(store_id, [poll])
    store_id = parse_uuid(of_a_store[1])
    match of_a_store[2]:
        case "status":
            return PollBatch(store_id, [poll_in(content, taken)])
        case "business_hours":
            return HoursRecord(store_id, tuple(hours_in(content)))
        case _:
            return ZoneRecord(store_id, zone_in(content))


def _checked(recovered: Recovered, clock: int, tolerance: int, earliest: int) -> Recovered:
    """What the worker would check besides the form."""
    match recovered.fact:
        case PollBatch(store_id, polls):
            good, ill_dated = split_ill_dated(polls, clock, tolerance, earliest)
            refused = (*recovered.refused, *ill_dated)
            if not good:
                raise RecordError("; ".join(refused[:20]))
            return Recovered(PollBatch(store_id, good), refused)
        case HoursRecord(store_id, rows):
            WeeklyHours.from_rows(rows)
            trimmed = tuple((day, start.strip(), end.strip()) for day, start, end in rows)
            return Recovered(HoursRecord(store_id, trimmed))
        case RequestRecord(_, value) if len(value) > MAX_RECORD_BYTES:
            raise RecordError(f"larger than the {MAX_RECORD_BYTES:,} bytes of a record")
    return recovered
