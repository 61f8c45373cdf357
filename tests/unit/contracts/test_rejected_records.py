"""Any bytes in a topic are either read, or a RecordError with a reason of one line."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.contracts.business_hours import MAX_HOURS_ROWS, decode_hours
from stream_app.contracts.report_requests import report_id_of
from stream_app.contracts.stores import decode_timezone
from stream_app.errors import RecordError
from tests.unit.contracts.wire import (
    DECODERS,
    GOOD,
    REPORT,
    STORE,
    json_values,
    nested,
    nested_text,
    wire,
)

KINDS = sorted(DECODERS)


def refusal(kind: str, value: bytes) -> str:
    """Return the reason why a record is refused, or an empty text where it is read."""
    try:
        DECODERS[kind](value)
    except RecordError as error:
        return str(error)
    return ""


def reason_of(kind: str, value: bytes | None) -> str:
    with pytest.raises(RecordError) as refused:
        DECODERS[kind](value)
    reason = str(refused.value)
    assert "\n" not in reason
    assert 0 < len(reason) < 200
    return reason


@pytest.mark.parametrize("kind", KINDS)
def test_the_good_record_is_read(kind: str) -> None:
    DECODERS[kind](wire(GOOD[kind]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "the record has no value"),
        (b"", "not JSON"),
        (b"store_id,status,timestamp_utc", "not JSON"),
        (b'{"store_id": ', "not JSON"),
        (b'{"store_id": "\xff\xfe"}', "not JSON"),
        (b"{'store_id': 'x'}", "not JSON"),
        (b'{"store_id": "\\ud800"}', "not JSON"),
        (b'{"polls": NaN}', "not JSON"),
        (b'{"polls": Infinity}', "not JSON"),
        (b'{"polls": ' + b"9" * 400 + b"}", "not JSON"),
        (nested_text(100_000).encode(), "not JSON"),
        (b"\x00" * 20, "not JSON"),
        (b"[]", "not a JSON object but list"),
        (b"null", "not a JSON object but NoneType"),
        (b"12", "not a JSON object but int"),
        (b'"text"', "not a JSON object but str"),
        (b"{}", "is missing"),
    ],
)
def test_a_value_that_is_no_object_is_refused(kind: str, value: bytes | None, reason: str) -> None:
    assert reason in reason_of(kind, value)


OPTIONAL = {
    ("request", "reference_time"),
    ("event", "reason"),
    ("watermark", "newest_poll"),
    ("polls", "polls"),  # without polls, the record is a single poll without a status
}


@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, name) for kind in KINDS for name in GOOD[kind] if (kind, name) not in OPTIONAL],
)
def test_a_missing_field_is_named(kind: str, name: str) -> None:
    content = {key: value for key, value in GOOD[kind].items() if key != name}
    assert reason_of(kind, wire(content)) == f"{name} is missing"


NO_IDS: list[Any] = ["", "1", STORE + "0", STORE[:-1] + "g", 5, None, [], {}, nested(900)]


@pytest.mark.parametrize(
    ("kind", "name", "bad", "reason"),
    [
        *(
            (kind, name, bad, f"{name} is not a UUID")
            for kind in KINDS
            for name in ("store_id", "report_id")
            if name in GOOD[kind]
            for bad in NO_IDS
        ),
        ("poll", "status", "open", "neither active nor inactive: 'open'"),
        ("poll", "status", "", "neither active nor inactive"),
        ("poll", "status", 1, "neither active nor inactive: 1"),
        ("poll", "status", True, "neither active nor inactive: true"),
        ("poll", "status", None, "neither active nor inactive: null"),
        ("poll", "status", nested(900), "neither active nor inactive: a list, deeply nested"),
        ("poll", "timestamp_utc", "2024-01-01", "not a time: '2024-01-01'"),
        ("poll", "timestamp_utc", 1_700_000_000, "not a text but int"),
        ("poll", "timestamp_utc", None, "not a text but NoneType"),
        ("poll", "timestamp_utc", "2200-01-01T00:00:00Z", "outside 1970 to 2100"),
        ("polls", "polls", [], "polls is empty"),
        ("polls", "polls", {}, "polls is not a list but dict"),
        ("polls", "polls", None, "polls is not a list but NoneType"),
        ("polls", "polls", "[[5,1]]", "polls is not a list but str"),
        ("hours", "hours", {}, "hours is not a list but dict"),
        ("hours", "hours", None, "hours is not a list but NoneType"),
        ("hours", "hours", [[0, "09:00"]], 'row 0: not [day, start, end]: [0,"09:00"]'),
        ("hours", "hours", [[0, "9", "17"], [True, "9", "17"]], "row 1: not"),
        ("hours", "hours", [[0.5, "9", "17"]], "row 0: not"),
        ("hours", "hours", [[1e300, "9", "17"]], "row 0: not"),
        ("hours", "hours", [["0", "9", "17"]], "row 0: not"),
        ("hours", "hours", [[0, 9, 17]], "row 0: not"),
        ("hours", "hours", [[0, None, None]], "row 0: not"),
        ("hours", "hours", [nested(900)], "row 0: not [day, start, end]: a list, deeply nested"),
        ("hours", "hours", [["x" * 10_000]], "row 0: not"),
        ("zone", "timezone_str", 5, "timezone_str is not a text but int"),
        ("zone", "timezone_str", None, "timezone_str is not a text but NoneType"),
        ("zone", "timezone_str", "x" * 101, "timezone_str is 101 characters long"),
        ("request", "reference_time", "now", "reference_time: not a time: 'now'"),
        ("request", "reference_time", 5, "reference_time: the time is not a text but int"),
        ("event", "status", "pending", "status: input should be 'running', 'complete' or 'failed'"),
        (
            "event",
            "status",
            "Complete",
            "status: input should be 'running', 'complete' or 'failed'",
        ),
        ("event", "status", 1, "status: input should be 'running', 'complete' or 'failed'"),
        ("event", "status", [], "status: input should be 'running', 'complete' or 'failed'"),
        ("event", "status", {}, "status: input should be 'running', 'complete' or 'failed'"),
        ("event", "reason", 5, "reason: input should be a valid string"),
        ("event", "reason", ["why"], "reason: input should be a valid string"),
        ("event", "at", None, "not a text but NoneType"),
        ("watermark", "topic", 5, "not a watermark"),
        ("watermark", "partition", "3", "not a watermark"),
        ("watermark", "applied", 1.5, "not a watermark"),
        ("watermark", "newest_poll", "now", "not a watermark"),
        ("watermark", "newest_poll", True, "not a watermark"),
        ("watermark", "newest_poll", 2**63, "outside 1970 to 2100"),
        ("watermark", "newest_poll", -1, "outside 1970 to 2100"),
        ("watermark", "partition", True, "not a watermark"),
        ("watermark", "partition", -1, "not a watermark"),
        ("watermark", "applied", True, "not a watermark"),
        ("watermark", "applied", -1, "not a watermark"),
    ],
)
def test_a_field_of_the_wrong_kind_is_refused(kind: str, name: str, bad: Any, reason: str) -> None:
    assert reason in reason_of(kind, wire(GOOD[kind] | {name: bad}))


def test_hours_are_accepted_as_a_whole_or_not_at_all() -> None:
    rows = [[0, "09:00", "17:00"]] * MAX_HOURS_ROWS
    assert len(decode_hours(wire({"store_id": STORE, "hours": rows})).hours.rows) == MAX_HOURS_ROWS
    reason = reason_of("hours", wire({"store_id": STORE, "hours": [*rows, *rows[:1]]}))
    assert reason == f"{MAX_HOURS_ROWS + 1} rows of hours; {MAX_HOURS_ROWS} are the most"
    assert "row 1" in reason_of("hours", wire({"store_id": STORE, "hours": [rows[0], [1], []]}))


def test_no_hours_at_all_is_a_good_record() -> None:
    assert decode_hours(wire({"store_id": STORE, "hours": []})).hours.rows == ()


def test_an_unknown_timezone_is_a_good_record() -> None:
    """The domain decides the meaning of an unknown timezone."""
    record = decode_timezone(wire({"store_id": STORE, "timezone_str": " Mars/Base "}))
    assert record.timezone == "Mars/Base"


def test_a_bad_request_still_names_the_report_to_fail() -> None:
    assert report_id_of(wire({"report_id": REPORT.upper(), "store_id": "no"})) == REPORT
    assert report_id_of(wire({"report_id": "no"})) is None
    assert report_id_of(b"\xff") is None
    assert report_id_of(None) is None


@pytest.mark.parametrize("kind", KINDS)
@given(value=st.binary())
def test_no_bytes_raise_another_error(kind: str, value: bytes) -> None:
    assert "\n" not in refusal(kind, value)


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in KINDS for name in GOOD[kind]])
@given(value=json_values)
def test_no_value_of_a_field_raises_another_error(kind: str, name: str, value: Any) -> None:
    assert "\n" not in refusal(kind, wire(GOOD[kind] | {name: value}))


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in KINDS for name in GOOD[kind]])
@pytest.mark.parametrize("depth", [200, 300, 900, 1020])
def test_no_depth_of_nesting_raises_another_error(kind: str, name: str, depth: int) -> None:
    """JSON may be nested deeper than Python can print and orjson can write."""
    value = wire(GOOD[kind] | {name: "HERE"}).replace(b'"HERE"', nested_text(depth).encode())
    assert len(refusal(kind, value)) < 200
