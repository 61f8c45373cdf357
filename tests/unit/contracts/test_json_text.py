"""JSON from outside is UTF-8 with or without a byte order mark; any other encoding is named."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.contracts.business_hours import decode_hours
from stream_app.contracts.json_text import (
    BYTE_ORDER_MARK,
    NotJsonError,
    foreign_encoding,
    parse_json,
)
from stream_app.contracts.polls import decode_packed_polls
from stream_app.contracts.report_requests import decode_request
from stream_app.contracts.stores import decode_timezone
from stream_app.contracts.webhooks import decode_webhook
from stream_app.errors import RecordError

STORE = "0f5c1a3e-9f2b-4b8e-8a6b-0d8e6f1c2b3a"
POLL = {"store_id": STORE, "status": "active", "timestamp_utc": "2024-03-10T12:00:00Z"}
READERS: list[tuple[Any, dict[str, Any]]] = [
    (decode_packed_polls, POLL),
    (decode_packed_polls, {"store_id": STORE, "polls": [[1_710_072_000_000_000, 1]]}),
    (decode_hours, {"store_id": STORE, "hours": [[0, "09:00", "17:00"]]}),
    (decode_timezone, {"store_id": STORE, "timezone_str": "Europe/Berlin"}),
    (decode_request, {"report_id": STORE, "store_id": STORE}),
]


@pytest.mark.parametrize(("read", "content"), READERS)
def test_every_record_from_outside_may_have_a_byte_order_mark(
    read: Any, content: dict[str, Any]
) -> None:
    text = json.dumps(content, separators=(",", ":")).encode()
    assert read(BYTE_ORDER_MARK + text) == read(text)


@pytest.mark.parametrize("read", [*(read for read, _ in READERS), decode_webhook])
@pytest.mark.parametrize("name", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
def test_the_reason_names_an_encoding_that_is_not_read(read: Any, name: str) -> None:
    with pytest.raises(RecordError) as refused:
        read(json.dumps(POLL).encode(name))
    assert str(refused.value) == f"not JSON: the text is {name.upper()[:6]}; send UTF-8"


def test_a_compressed_text_is_named() -> None:
    with pytest.raises(NotJsonError, match="Content-Encoding: gzip"):
        parse_json(gzip.compress(b"{}"))


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=3))
def test_json_is_read_the_same_with_a_byte_order_mark(content: dict[str, str]) -> None:
    try:
        text = json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return
    assert parse_json(BYTE_ORDER_MARK + text) == parse_json(text) == content
    assert foreign_encoding(text) is None


@pytest.mark.parametrize(
    "text",
    [
        b"",
        BYTE_ORDER_MARK,
        BYTE_ORDER_MARK * 2 + b"{}",
        b"{",
        b"{}{}",
        b"{} " + BYTE_ORDER_MARK,
        b"\xff",
        b"\xff\xfe",
        b"{\x00",
        b"\x00",
        b"{'a': 1}",
        b"NaN",
    ],
)
def test_a_text_that_is_not_json_is_an_error_of_one_line(text: bytes) -> None:
    if text == BYTE_ORDER_MARK * 2 + b"{}":
        assert parse_json(text) == {}
        return
    with pytest.raises(NotJsonError, match=r"^not JSON: ") as refused:
        parse_json(text)
    assert "\n" not in str(refused.value)
