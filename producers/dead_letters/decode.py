"""Decodes the original of a dead letter again, by the rules that rejected it.

It is pure: it makes the content that can be sent from a dead letter, or raises the reason.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from producers.csv_replay.header import find_columns
from producers.csv_replay.store_rows import hours_row
from producers.csv_replay.table import HOURS, KINDS, POLLS, pick_values
from stream_app.contracts import api_paths
from stream_app.contracts.business_hours import HoursRecord, decode_hours, parse_hours_body
from stream_app.contracts.fields import parse_status, parse_uuid, shown
from stream_app.contracts.json_text import parse_json
from stream_app.contracts.polls import (
    PollBatch,
    decode_poll_batch,
    parse_poll_body,
    parse_poll_item,
    split_ill_dated,
)
from stream_app.contracts.report_requests import decode_request
from stream_app.contracts.stores import (
    TimezoneRecord,
    decode_timezone,
    encode_timezone,
    parse_timezone_body,
)
from stream_app.contracts.topics import (
    MAX_RECORD_BYTES,
    REPORT_REQUESTS,
    STORE_BUSINESS_HOURS,
    STORE_STATUS,
    STORE_TIMEZONES,
    WEBHOOKS,
)
from stream_app.contracts.webhooks import Webhook, decode_webhook
from stream_app.domain.timestamps import parse_instant
from stream_app.errors import RecordError, StoreUptimeError

if TYPE_CHECKING:
    from stream_app.contracts.dead_letters import DeadLetter
    from stream_app.domain.business_hours import Row


class NotReplayableError(RecordError):
    """The dead letter lacks information that is necessary to send it again."""


@dataclass(frozen=True, slots=True)
class HoursRow:
    """One row of business hours, to be added to the rows that the store already has."""

    store_id: str
    row: Row


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """A request for a report, as it came, with the key under which it is sent again."""

    key: str
    value: bytes


Replayable = PollBatch | HoursRecord | HoursRow | TimezoneRecord | RequestRecord | Webhook


@dataclass(frozen=True, slots=True)
class DecodedOriginal:
    """The decoded original of a dead letter.

    Attributes:
        content: the content that can be sent.
        rejected: the reasons, one for each poll of a batch that is rejected again.
    """

    content: Replayable
    rejected: tuple[str, ...] = ()


def decode_original(
    dead_letter: DeadLetter, *, stored_at: int, clock: int, tolerance: int, earliest: int = 0
) -> DecodedOriginal:
    """Decode the original of a dead letter.

    Args:
        dead_letter: the dead letter.
        stored_at: µs; the time of the dead letter, and of a poll in it that has no time.
        clock: µs; the wall clock.
        tolerance: µs that a poll may be dated ahead of the clock.
        earliest: µs; a poll dated earlier is rejected.

    Raises:
        NotReplayableError: the dead letter lacks information, whatever its original is.
        RecordError: the original is rejected again.
    """
    if dead_letter.truncated:
        raise NotReplayableError("only the beginning of the original was kept")
    match dead_letter.source:
        case {"topic": str(), "last_offset": int()}:
            raise NotReplayableError("it has only the offsets of a batch that could not be read")
        case {"topic": WEBHOOKS.name}:
            # it is retried for as long as a new webhook
            webhook = decode_webhook(dead_letter.original)
            decoded = DecodedOriginal(replace(webhook, requested_at=clock))
        case {"topic": str(topic)}:
            decoded = _record(topic, dead_letter.original)
        case {"file": str(), "kind": str(kind), "columns": str(columns)}:
            decoded = _row(kind, columns, dead_letter.original)
        case {"file": str()}:
            raise NotReplayableError(
                "an earlier version kept it without the columns of its file: correct the row in "
                "the file and run `store-uptime replay`"
            )
        case {"http": _, "path": str(path)}:
            is_whole = "item" not in dead_letter.source
            decoded = DecodedOriginal(
                _http_item(path, dead_letter.original, stored_at, is_whole=is_whole)
            )
        case _:
            raise NotReplayableError(f"its source is unknown: {shown(dead_letter.source)}")
    return _validated(decoded, clock, tolerance, earliest)


def _record(topic: str, value: bytes | None) -> DecodedOriginal:
    if topic == STORE_STATUS.name:
        batch, rejected = decode_poll_batch(value)
        return DecodedOriginal(batch, tuple(rejected))
    if topic == STORE_BUSINESS_HOURS.name:
        return DecodedOriginal(decode_hours(value))
    if topic == STORE_TIMEZONES.name:
        return DecodedOriginal(decode_timezone(value))
    if topic == REPORT_REQUESTS.name:
        return DecodedOriginal(RequestRecord(decode_request(value).key, value or b""))
    raise NotReplayableError(f"records of the topic {topic[:100]} are unknown")


def _row(kind_name: str, header: str, line: bytes | None) -> DecodedOriginal:
    kind = KINDS.get(kind_name)
    if kind is None:
        raise NotReplayableError(f"rows of the kind {kind_name[:100]} are unknown")
    try:
        columns = find_columns(header.split(","), kind, "its header")
    except StoreUptimeError as error:
        raise NotReplayableError(str(error)) from None
    values = pick_values(line or b"", columns)
    if values is None:
        raise RecordError("a blank line")
    store_id = parse_uuid(values[0])
    if kind is POLLS:
        return DecodedOriginal(
            PollBatch(store_id, [(parse_instant(values[2]), parse_status(values[1]))])
        )
    if kind is HOURS:
        row, _ = hours_row(*values[1:])
        return DecodedOriginal(HoursRow(store_id, row))
    return DecodedOriginal(decode_timezone(encode_timezone(store_id, values[1])))


def _http_item(path: str, body: bytes | None, stored_at: int, *, is_whole: bool) -> Replayable:
    if path == api_paths.STATUS:
        if is_whole:
            raise NotReplayableError(
                "the whole body of a POST /status was rejected: correct the output of `show ID "
                "--raw` and post it again"
            )
        store_id, poll = parse_poll_item(parse_json(body or b""), stored_at)
        return PollBatch(store_id, [poll])
    if (store := api_paths.store_in(path, api_paths.STORE_STATUS)) is not None:
        content = parse_json(body or b"")
        return PollBatch(parse_uuid(store), [parse_poll_body(content, stored_at)])
    if (store := api_paths.store_in(path, api_paths.STORE_HOURS)) is not None:
        content = parse_json(body or b"")
        return HoursRecord(parse_uuid(store), parse_hours_body(content))
    if (store := api_paths.store_in(path, api_paths.STORE_TIMEZONE)) is not None:
        content = parse_json(body or b"")
        return TimezoneRecord(parse_uuid(store), parse_timezone_body(content))
    raise NotReplayableError(f"requests to {path[:100]} are unknown")


def _validated(
    decoded: DecodedOriginal, clock: int, tolerance: int, earliest: int
) -> DecodedOriginal:
    """Apply the rules by which the worker rejects content whose form is valid."""
    match decoded.content:
        case PollBatch(store_id, polls):
            good, ill_dated = split_ill_dated(polls, clock, tolerance, earliest)
            rejected = (*decoded.rejected, *ill_dated)
            if not good:
                raise RecordError("; ".join(rejected[:20]))
            return DecodedOriginal(PollBatch(store_id, good), rejected)
        case RequestRecord(_, value) if len(value) > MAX_RECORD_BYTES:
            raise RecordError(f"larger than the {MAX_RECORD_BYTES:,} bytes of a record")
    return decoded
