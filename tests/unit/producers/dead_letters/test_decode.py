from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.dead_letters.decode import (
    DecodedOriginal,
    HoursRow,
    NotReplayableError,
    RequestRecord,
    decode_original,
)
from stream_app.contracts.business_hours import BusinessHours, HoursRecord
from stream_app.contracts.dead_letters import DeadLetter
from stream_app.contracts.fields import parse_uuid
from stream_app.contracts.packed_polls import encode_packed_batch
from stream_app.contracts.polls import PollBatch, encode_poll, encode_poll_batch
from stream_app.contracts.stores import TimezoneRecord, encode_timezone
from stream_app.contracts.topics import (
    MAX_RECORD_BYTES,
    REPORT_REQUESTS,
    REPORT_RESULTS,
    STORE_BUSINESS_HOURS,
    STORE_STATUS,
    STORE_TIMEZONES,
    TopicSpec,
)
from stream_app.domain.polls import poll_set
from stream_app.errors import RecordError
from tests.unit.contracts import wire
from tests.unit.contracts.wire import unchecked_hours

STORE = "0f5c1a3e-9f2b-4b8e-8a6b-0d8e6f1c2b3a"
STORED_AT = 1_710_072_000_000_000
LATEST = STORED_AT + 300_000_000
NOON = "2024-03-10 12:00:00 UTC"


def of_topic(topic: TopicSpec, value: bytes | None, **more: Any) -> DeadLetter:
    source: dict[str, str | int] = {"topic": topic.name, "partition": 3, "offset": 70}
    return DeadLetter(source, "why", value, b"key", **more)


def of_file(kind: str, columns: str, row: str) -> DeadLetter:
    source: dict[str, str | int] = {"file": "a.csv", "line": 3, "kind": kind, "columns": columns}
    return DeadLetter(source, "why", row.encode())


def of_http(path: str, item: Any) -> DeadLetter:
    source: dict[str, str | int] = {"http": "7c9e", "item": 2, "path": path}
    original = item if isinstance(item, bytes) else json.dumps(item).encode()
    return DeadLetter(source, "why", original)


def decoded(dead_letter: DeadLetter) -> DecodedOriginal:
    return decode_original(
        dead_letter, stored_at=STORED_AT, clock=STORED_AT, tolerance=LATEST - STORED_AT
    )


@pytest.mark.parametrize(
    ("dead_letter", "content"),
    [
        (
            of_topic(STORE_STATUS, encode_poll(STORE, STORED_AT, active=True)),
            PollBatch(STORE, [(STORED_AT, True)]),
        ),
        (
            of_topic(STORE_STATUS, encode_poll_batch(STORE, [(5, True), (LATEST, False)])),
            PollBatch(STORE, [(5, True), (LATEST, False)]),
        ),
        (
            of_topic(STORE_STATUS, encode_packed_batch(STORE, poll_set([(5, True), (9, False)]))),
            PollBatch(STORE, [(5, True), (9, False)]),
        ),
        (
            of_topic(STORE_BUSINESS_HOURS, unchecked_hours(STORE, [(0, " 09:00 ", "17:00")])),
            HoursRecord(STORE, BusinessHours(((0, "09:00", "17:00"),))),
        ),
        (of_topic(STORE_TIMEZONES, encode_timezone(STORE, "UTC")), TimezoneRecord(STORE, "UTC")),
        (
            of_topic(REPORT_REQUESTS, f'{{"report_id":"{STORE}","store_id":"{STORE}"}}'.encode()),
            RequestRecord(STORE, f'{{"report_id":"{STORE}","store_id":"{STORE}"}}'.encode()),
        ),
        (
            of_file(
                "polls", "timestamp_utc,,status,store_id", f"{NOON},note,Active,{STORE.upper()}"
            ),
            PollBatch(STORE, [(STORED_AT, True)]),
        ),
        (
            of_file(
                "hours",
                "dayOfWeek,store_id,end_time_local,start_time_local",
                f"2,{STORE},17:00, 9:00",
            ),
            HoursRow(STORE, (2, "9:00", "17:00")),
        ),
        (of_file("zones", "timezone_str,store_id", f"UTC,{STORE}"), TimezoneRecord(STORE, "UTC")),
        (
            of_http("/status", {"store_id": STORE, "status": "inactive", "timestamp_utc": NOON}),
            PollBatch(STORE, [(STORED_AT, False)]),
        ),
        (
            of_http(f"/stores/{STORE}/status", {"status": "active", "timestamp_utc": NOON}),
            PollBatch(STORE, [(STORED_AT, True)]),
        ),
        (
            of_http(f"/stores/{STORE}/business_hours", {"hours": [[0, "09:00", "17:00"]]}),
            HoursRecord(STORE, BusinessHours(((0, "09:00", "17:00"),))),
        ),
        (
            of_http(
                f"/stores/{STORE}/business_hours",
                {"hours": [{"day": 0, "start_time_local": "09:00", "end_time_local": " 17:00"}]},
            ),
            HoursRecord(STORE, BusinessHours(((0, "09:00", "17:00"),))),
        ),
        (
            of_http(f"/stores/{STORE}/timezone", {"timezone": "Asia/Tokyo"}),
            TimezoneRecord(STORE, "Asia/Tokyo"),
        ),
    ],
)
def test_an_original_is_decoded_from_every_source(dead_letter: DeadLetter, content: Any) -> None:
    assert decoded(dead_letter) == DecodedOriginal(content)


def test_a_live_poll_without_a_time_has_the_time_of_its_dead_letter() -> None:
    dead_letter = of_http("/status", {"store_id": STORE, "status": "active"})
    assert decoded(dead_letter).content == PollBatch(STORE, [(STORED_AT, True)])


@pytest.mark.parametrize(
    ("dead_letter", "reason"),
    [
        (of_topic(STORE_STATUS, None), "the record has no value"),
        (of_topic(STORE_STATUS, b"\xff"), "not JSON"),
        (of_topic(STORE_STATUS, encode_poll(STORE, LATEST + 1, active=True)), "ahead of the clock"),
        (of_topic(STORE_BUSINESS_HOURS, unchecked_hours(STORE, [(7, "1:00", "2:00")])), "day 7"),
        (of_topic(STORE_TIMEZONES, b"{}"), "store_id is missing"),
        (of_topic(REPORT_REQUESTS, b"{}"), "report_id is missing"),
        (
            of_topic(
                REPORT_REQUESTS,
                json.dumps({"report_id": STORE, "store_id": STORE}).encode()
                + b" " * MAX_RECORD_BYTES,
            ),
            "larger than the 1,000,000 bytes of a record",
        ),
        (of_file("polls", "store_id,status,timestamp_utc", "a,b"), "2 columns where"),
        (of_file("polls", "store_id,status,timestamp_utc", "  "), "a blank line"),
        (
            of_file("hours", "store_id,day,start_time_local,end_time_local", f"{STORE},0,9 am,5"),
            "time",
        ),
        (of_file("zones", "store_id,timezone_str", f"{STORE},{'x' * 101}"), "101 characters"),
        (of_http("/status", b"{"), "not JSON"),
        (of_http("/status", ["active"]), "not a JSON object"),
        (of_http("/stores/me/status", {"status": "active"}), "store_id is not a UUID"),
        (of_http(f"/stores/{STORE}/business_hours", {"hours": 7}), "hours is not a list"),
        (
            of_http(
                f"/stores/{STORE}/business_hours", b'{"hours":' + b"[" * 600 + b"]" * 600 + b"}"
            ),
            "neither \\[day, start, end\\] nor an object",
        ),
    ],
)
def test_an_original_that_is_rejected_again_has_a_reason(
    dead_letter: DeadLetter, reason: str
) -> None:
    with pytest.raises(RecordError, match=reason) as bad:
        decoded(dead_letter)
    assert not isinstance(bad.value, NotReplayableError)


@pytest.mark.parametrize(
    ("dead_letter", "reason"),
    [
        (
            of_topic(STORE_STATUS, encode_timezone(STORE, "UTC"), truncated=True),
            "only the beginning",
        ),
        (DeadLetter({"file": "a.csv", "line": 3}, "why", b"x"), "an earlier version kept it"),
        (of_file("pots", "store_id", STORE), "rows of the kind pots are unknown"),
        (of_file("polls", "store_id", STORE), "no column status, timestamp_utc"),
        (of_topic(REPORT_RESULTS, b"{}"), "records of the topic report-results are unknown"),
        (DeadLetter({"http": "7c9e", "path": "/status"}, "why", b"[]"), "the whole body of a POST"),
        (of_http("/trigger_report", {}), "requests to /trigger_report are unknown"),
        (DeadLetter({}, "why", b"x"), "its source is unknown: "),
        (DeadLetter({"topic": 7}, "why", b"x"), "its source is unknown: "),
    ],
)
def test_a_dead_letter_that_lacks_information_cannot_be_replayed(
    dead_letter: DeadLetter, reason: str
) -> None:
    with pytest.raises(NotReplayableError, match=reason):
        decoded(dead_letter)


def test_the_good_polls_of_a_batch_are_decoded_and_the_others_rejected() -> None:
    value = encode_poll_batch(STORE, [(5, True), (LATEST + 1, True), (6, False)])
    value = value.replace(b"[6,0]", b'["6",0]')
    batch = decoded(of_topic(STORE_STATUS, value))
    assert batch.content == PollBatch(STORE, [(5, True)])
    assert [reason.split(":")[0] for reason in batch.rejected] == ["poll 2", "2024-03-10T12"]


@given(
    dead_letter=wire.dead_letters,
    kind=st.sampled_from(["polls", "hours", "zones"]),
    topic=st.sampled_from([STORE_STATUS, STORE_BUSINESS_HOURS, STORE_TIMEZONES, REPORT_REQUESTS]),
)
def test_any_dead_letter_is_decoded_or_rejected(
    dead_letter: DeadLetter, kind: str, topic: TopicSpec
) -> None:
    text = (dead_letter.original or b"").decode(errors="replace")
    for tried in (
        dead_letter,
        of_topic(topic, dead_letter.original),
        of_file(kind, text, text),
        of_http("/status", dead_letter.original or b""),
    ):
        # any other error would end the replay of all later dead letters
        with suppress(RecordError):
            content: Any = decoded(tried).content
            assert parse_uuid(content.store_id) == content.store_id


@pytest.mark.parametrize("topic", [STORE_STATUS, STORE_TIMEZONES, REPORT_REQUESTS])
def test_an_unreadable_batch_cannot_be_replayed(topic: TopicSpec) -> None:
    dead_letter = of_topic(topic, None)
    dead_letter.source["last_offset"] = 79
    with pytest.raises(NotReplayableError, match="only the offsets of a batch"):
        decoded(dead_letter)
