"""No field of a record that any client may write is ignored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import TypeAdapter

from stream_app.contracts.dead_letters import decode_dead_letter, encode_dead_letter
from stream_app.contracts.removal import decode_polls_removal
from stream_app.contracts.topic_records import RECORD_MODELS
from stream_app.contracts.topics import (
    DEAD_LETTERS,
    FACTS_TABLE,
    LATEST_POLLS,
    QUERY_RESULTS,
    REPORT_REQUESTS,
    REPORT_RESULTS,
    STORE_BUSINESS_HOURS,
    STORE_QUERIES,
    STORE_STATUS,
    STORE_TIMEZONES,
    STORES,
    WATERMARKS,
    WEBHOOKS,
    changelog,
)
from stream_app.contracts.webhooks import Webhook, decode_webhook, encode_webhook
from stream_app.errors import RecordError
from tests.unit.contracts.wire import DECODERS, GOOD, NOON, REPORT, STORE, wire

if TYPE_CHECKING:
    from collections.abc import Mapping

CLOSED: Mapping[str, tuple[str, ...]] = {
    STORE_STATUS.name: ("poll", "polls", "removal"),
    LATEST_POLLS.name: ("poll",),
    STORE_BUSINESS_HOURS.name: ("hours",),
    STORE_TIMEZONES.name: ("zone",),
    REPORT_REQUESTS.name: ("request", "stores request", "fleet request", "part request"),
    STORE_QUERIES.name: ("request", "stores request", "fleet request", "part request"),
}
"""The kinds of record that clients write; `latest-polls` has the form of a poll."""

OPEN = {
    STORES.name: "two versions may run side by side",
    REPORT_RESULTS.name: "written by workers and the API",
    QUERY_RESULTS.name: "written by workers and the API",
    WATERMARKS.name: "written by workers and the API",
    WEBHOOKS.name: "written by workers and the API",
    DEAD_LETTERS.name: "written by workers and the API",
    changelog(FACTS_TABLE).name: "binary, and the workers' own",
}

_REQUEST = {"report_id": REPORT, "reference_time": NOON, "requested_at": NOON}
RECORDS: dict[str, dict[str, Any]] = {
    **GOOD,
    "removal": {"store_id": STORE, "removed": True},
    "request": {**_REQUEST, "store_id": STORE, "duration": "P1D", "details": ["windows"]},
    "fleet request": {**_REQUEST, "scope": "fleet", "daily": True},
    "stores request": {**_REQUEST, "store_ids": [STORE], "start": NOON, "exact": True},
    "part request": {**_REQUEST, "store_ids": [STORE], "part": 1, "parts": 2},
}
KINDS = sorted({kind for kinds in CLOSED.values() for kind in kinds})


def decoded(kind: str, content: dict[str, Any]) -> Any:
    return decoded_text(kind, wire(content))


def decoded_text(kind: str, text: bytes) -> Any:
    if kind == "removal":
        return decode_polls_removal(text)
    return DECODERS.get(kind, DECODERS["request"])(text)


def test_every_topic_either_refuses_or_ignores_unknown_fields() -> None:
    assert CLOSED.keys() | OPEN.keys() == RECORD_MODELS.keys()
    assert not CLOSED.keys() & OPEN.keys()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["timestamp", "referenceTime", "", "Store_Id", "store_id ", "\n"])
def test_an_unknown_field_is_refused_and_named(kind: str, name: str) -> None:
    decoded(kind, RECORDS[kind])
    with pytest.raises(RecordError) as refused:
        decoded(kind, {**RECORDS[kind], name: "2023-01-25T00:00:00Z"})
    reason = str(refused.value)
    assert reason.startswith(f"unknown fields: {name!r}; known are ")
    assert "\n" not in reason
    assert len(reason) < 200


@pytest.mark.parametrize(
    ("kind", "other"),
    [
        ("poll", {"polls": [[1_700_000_000_000_000, 1]]}),
        ("hours", {"timezone_str": "Europe/Berlin"}),
        ("request", {"part": 1, "parts": 2}),
        ("fleet request", {"details": ["windows"]}),
        ("stores request", {"details": []}),
        ("stores request", {"scope": "fleet"}),
    ],
)
def test_a_field_of_another_kind_of_record_is_refused(kind: str, other: dict[str, Any]) -> None:
    with pytest.raises(RecordError, match=r"unknown fields|only one of them"):
        decoded(kind, {**RECORDS[kind], **other})


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        (model, kind)
        for topic, kinds in CLOSED.items()
        for model, kind in zip(RECORD_MODELS[topic].values, kinds, strict=True)
    ],
)
def test_the_fields_that_are_known_are_those_of_the_published_model(model: Any, kind: str) -> None:
    published = set(TypeAdapter(model).json_schema()["properties"])
    with pytest.raises(RecordError) as refused:
        decoded(kind, {**RECORDS[kind], "?": 1})
    known = str(refused.value).partition("; known are ")[2].replace(" and ", ", ").split(", ")
    assert set(known) >= published
    assert set(known) - published <= {"part", "parts", "end"}


def test_records_of_the_product_may_have_unknown_fields() -> None:
    for kind in ("store", "event", "watermark"):
        assert decoded(kind, {**GOOD[kind], "later": 1}) == decoded(kind, GOOD[kind])
    webhook = Webhook(REPORT, "https://hooks.example.com/", 5)
    assert decode_webhook(encode_webhook(webhook)[:-1] + b',"later":1}') == webhook
    dead_letter = decode_dead_letter(b'{"source":{},"reason":"r","original":null,"later":1}')
    assert decode_dead_letter(encode_dead_letter(dead_letter)) == dead_letter
