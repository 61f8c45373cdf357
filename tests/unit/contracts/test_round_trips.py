"""All records that the product writes read back exactly."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream_app.contracts.business_hours import HoursRecord, decode_hours, encode_hours
from stream_app.contracts.dead_letters import (
    DeadLetter,
    dead_letter_key,
    decode_dead_letter,
    encode_dead_letter,
)
from stream_app.contracts.polls import PollBatch, decode_poll_batch, encode_poll, encode_poll_batch
from stream_app.contracts.report_requests import decode_request, encode_request, report_id_of
from stream_app.contracts.report_results import decode_event, encode_event
from stream_app.contracts.stores import (
    StoreRecord,
    TimezoneRecord,
    decode_store,
    decode_timezone,
    encode_store,
    encode_timezone,
)
from stream_app.contracts.watermarks import decode_watermark, encode_watermark, watermark_key
from stream_app.errors import RecordError
from tests.unit.contracts import wire

if TYPE_CHECKING:
    from stream_app.contracts.report_requests import ReportRequestRecord
    from stream_app.contracts.report_results import ReportEvent
    from stream_app.contracts.watermarks import Watermark


@given(wire.poll_batches)
def test_polls_read_back(batch: PollBatch) -> None:
    assert decode_poll_batch(encode_poll_batch(batch.store_id, batch.polls)) == (batch, [])


@given(wire.uuids, wire.instants, st.booleans())
def test_a_single_poll_reads_back(store_id: str, instant: int, active: bool) -> None:
    batch = PollBatch(store_id, [(instant, active)])
    assert decode_poll_batch(encode_poll(store_id, instant, active=active)) == (batch, [])


@given(wire.hours_records)
def test_hours_read_back(record: HoursRecord) -> None:
    assert decode_hours(encode_hours(record.store_id, record.hours.rows)) == record


@given(wire.zone_records)
def test_timezones_read_back(record: TimezoneRecord) -> None:
    assert decode_timezone(encode_timezone(record.store_id, record.timezone)) == record


@given(wire.store_records)
def test_stores_read_back(record: StoreRecord) -> None:
    assert decode_store(encode_store(record)) == record


@given(wire.watermarks)
def test_watermarks_read_back(watermark: Watermark) -> None:
    assert decode_watermark(encode_watermark(watermark)) == watermark


@given(wire.report_requests)
def test_report_requests_read_back(request: ReportRequestRecord) -> None:
    written = encode_request(request)
    assert decode_request(written) == request
    assert report_id_of(written) == request.report_id


@given(wire.report_events)
def test_report_events_read_back(event: ReportEvent) -> None:
    assert decode_event(encode_event(event)) == event


@given(wire.dead_letters)
def test_dead_letters_read_back(dead_letter: DeadLetter) -> None:
    assert decode_dead_letter(encode_dead_letter(dead_letter)) == dead_letter


@given(st.binary(), st.binary())
@example(b"\xff\x00", b"")
@example(b"", b'{"base64": "AAAA"}')
@example(b'{"base64": "AAAA"}', b"\xed\xa0\x80")
def test_a_dead_letter_keeps_any_bytes_and_is_always_json(original: bytes, key: bytes) -> None:
    written = encode_dead_letter(DeadLetter({"file": "a.csv", "line": 3}, "why", original, key))
    json.loads(written)
    dead_letter = decode_dead_letter(written)
    assert (dead_letter.original, dead_letter.key) == (original, key)


def test_a_dead_letter_of_text_can_be_read_by_people() -> None:
    written = json.loads(encode_dead_letter(DeadLetter({"file": "a.csv", "line": 3}, "why", b"x")))
    assert written == {
        "source": {"file": "a.csv", "line": 3},
        "reason": "why",
        "original": "x",
        "key": None,
    }


def test_the_same_fault_has_the_same_dead_letter_key() -> None:
    source: dict[str, str | int] = {"topic": "store-status", "partition": 3, "offset": 70}
    first = DeadLetter(source, "one reason", b"x")
    again = DeadLetter(source, "another", b"y", b"key")
    assert dead_letter_key(first) == dead_letter_key(again) == b"store-status/3/70"
    assert dead_letter_key(DeadLetter({"file": "a.csv", "line": 3}, "", b"")) == b"a.csv/3"
    of_file: dict[str, str | int] = {
        "file": "a.csv",
        "line": 3,
        "kind": "polls",
        "columns": "status,store_id,timestamp_utc",
    }
    assert dead_letter_key(DeadLetter(of_file, "", b"")) == b"a.csv/3", (
        "the columns are no part of the key"
    )
    of_http: dict[str, str | int] = {"http": "7c9e", "item": 2, "path": "/status"}
    assert dead_letter_key(DeadLetter(of_http, "", b"")) == b"7c9e/2//status"


def test_a_dead_letter_is_marked_as_truncated_only_where_it_is() -> None:
    dead_letter = DeadLetter({"file": "a.csv", "line": 3}, "why", b"x", truncated=True)
    assert json.loads(encode_dead_letter(dead_letter))["truncated"] is True
    earlier = b'{"source":{"file":"a.csv","line":3},"reason":"why","original":"x","key":null}'
    assert decode_dead_letter(earlier) == DeadLetter({"file": "a.csv", "line": 3}, "why", b"x")


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"[]",
        b'{"reason":"why","original":"x","key":null}',
        b'{"source":"a.csv","reason":"why","original":"x","key":null}',
        b'{"source":{},"reason":7,"original":"x","key":null}',
        b'{"source":{},"reason":"why","key":null}',
        b'{"source":{},"reason":"why","original":7,"key":null}',
        b'{"source":{},"reason":"why","original":{"base64":"?"},"key":null}',
        b'{"source":{},"reason":"why","original":null,"key":{"base64":7}}',
    ],
)
def test_a_bad_dead_letter_is_refused(value: bytes | None) -> None:
    with pytest.raises(RecordError):
        decode_dead_letter(value)


def test_records_have_the_forms_of_the_contract() -> None:
    store = wire.STORE
    assert json.loads(encode_poll_batch(store, [(5, True), (6, False)])) == {
        "store_id": store,
        "polls": [[5, 1], [6, 0]],
    }
    assert json.loads(encode_poll(store, 1_710_072_000_000_001, active=False)) == {
        "store_id": store,
        "status": "inactive",
        "timestamp_utc": "2024-03-10T12:00:00.000001Z",
    }
    assert json.loads(encode_hours(store, [(0, "09:00", "17:00")])) == {
        "store_id": store,
        "hours": [[0, "09:00", "17:00"]],
    }
    assert json.loads(encode_timezone(store, "UTC")) == {"store_id": store, "timezone_str": "UTC"}
    assert json.loads(encode_store(StoreRecord(store))) == {"store_id": store}


@given(wire.watermarks)
def test_a_watermark_is_keyed_by_its_partition(watermark: Watermark) -> None:
    assert watermark_key(watermark).decode() == f"{watermark.topic}/{watermark.partition}"
