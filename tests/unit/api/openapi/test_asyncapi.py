"""The description of the topics is whole and valid, and fits the records that we write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from api.openapi.asyncapi import asyncapi
from stream_app.contracts.business_hours import encode_hours
from stream_app.contracts.dead_letters import DeadLetter, encode_dead_letter
from stream_app.contracts.packed_polls import encode_packed_batch
from stream_app.contracts.polls import encode_poll, encode_poll_batch
from stream_app.contracts.report_requests import encode_request
from stream_app.contracts.report_results import (
    ReportDocument,
    ReportEvent,
    ResultChunk,
    encode_event,
)
from stream_app.contracts.revisions import ORIGIN_HEADER, RecordOrigin, encode_origin
from stream_app.contracts.stores import encode_store, encode_timezone
from stream_app.contracts.topic_records import RECORD_MODELS
from stream_app.contracts.topics import (
    ALL_TOPICS,
    DEAD_LETTERS,
    QUERY_RESULTS,
    REPORT_REQUESTS,
    REPORT_RESULTS,
    STORE_BUSINESS_HOURS,
    STORE_QUERIES,
    STORE_STATUS,
    STORE_TIMEZONES,
    STORES,
    WATERMARKS,
)
from stream_app.contracts.watermarks import encode_watermark
from stream_app.domain.polls import poll_set
from stream_app.domain.report_spec import ReportSpec
from stream_app.worker.report_document import common_provenance
from tests.described_records import DescribedRecords
from tests.fakes import SETTINGS
from tests.report_contents import FORMS, NOON, OFFSETS, fleet_content, store_content
from tests.sample import ROOT
from tests.unit.api.answers import REPORT, STORE
from tests.unit.contracts import wire

if TYPE_CHECKING:
    from stream_app.contracts.topics import TopicSpec
    from tests.http_client import TestClient

META_SCHEMA = Path(ROOT) / "tests/schemas/asyncapi-3.0.0.json"
DOCUMENT = asyncapi(SETTINGS)
RECORDS = DescribedRecords(DOCUMENT)


async def test_the_description_is_served(client: TestClient) -> None:
    response = await client.get("/asyncapi.json")
    assert response.headers["Content-Type"] == "application/json"
    assert await response.json() == DOCUMENT


def test_the_description_is_a_valid_document_of_valid_schemas() -> None:
    meta_schema = json.loads(META_SCHEMA.read_text())
    errors = Draft7Validator(meta_schema).iter_errors(DOCUMENT)
    assert [(error.message[:300], list(error.path)) for error in errors] == []
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft7Validator.check_schema(schema)


def test_every_topic_is_described() -> None:
    assert set(RECORD_MODELS) == {topic.name for topic in ALL_TOPICS}
    assert set(DOCUMENT["channels"]) == set(RECORD_MODELS)


def test_topics_are_described_as_they_are_created() -> None:
    settings = SETTINGS.replace(partitions=12, replication=3, report_retention=7_200_000_000)
    channels = asyncapi(settings)["channels"]
    assert channels["report-results"]["bindings"]["kafka"] == {
        "topic": "report-results",
        "partitions": 12,
        "replicas": 3,
        "topicConfiguration": {
            "cleanup.policy": ["compact", "delete"],
            "retention.ms": 7_200_000,
            "max.message.bytes": 1_000_000,
        },
        "bindingVersion": "0.5.0",
    }
    assert channels["dead-letters"]["bindings"]["kafka"]["partitions"] == 1
    assert "retention.ms" not in channels["stores"]["bindings"]["kafka"]["topicConfiguration"]


@given(wire.poll_batches, wire.instants)
def test_polls_are_described(batch: Any, instant: int) -> None:
    one = encode_poll(batch.store_id, instant, active=True)
    assert RECORDS.message(STORE_STATUS.name, one) == "PollRecord"
    many = encode_poll_batch(batch.store_id, batch.polls)
    assert RECORDS.message(STORE_STATUS.name, many) == "PollBatchRecord"


@given(wire.poll_batches)
def test_packed_polls_are_described(batch: Any) -> None:
    value = encode_packed_batch(batch.store_id, poll_set(batch.polls))
    assert RECORDS.message(STORE_STATUS.name, value) == "PackedPollBatch"
    for other in (value[:-1], value + b"1", b"\xf8\x02" + value[2:], value[:38]):
        assert RECORDS.matching(STORE_STATUS.name, other) == []


@pytest.mark.parametrize(
    "rows",
    [[], [(0, "09:00", "17:00")], [(6, "9:00:00", "24:00"), (0, "00:00:00.5", "23:59:59.999999")]],
)
def test_business_hours_are_described(rows: list[Any]) -> None:
    value = encode_hours(STORE, rows)
    assert RECORDS.message(STORE_BUSINESS_HOURS.name, value) == "HoursRecord"


def test_the_header_of_a_forwarded_record_is_described() -> None:
    headers = DOCUMENT["components"]["messages"]["TimezoneRecord"]["headers"]
    validator = Draft7Validator({**headers, "components": DOCUMENT["components"]})
    validator.validate({ORIGIN_HEADER: json.loads(encode_origin(RecordOrigin(5, 1, 0)))})
    assert not validator.is_valid({ORIGIN_HEADER: {"partition": 1}})


@given(wire.zone_records, wire.store_records, wire.watermarks)
def test_timezones_stores_and_watermarks_are_described(
    zone: Any, store: Any, watermark: Any
) -> None:
    value = encode_timezone(zone.store_id, zone.timezone)
    assert RECORDS.message(STORE_TIMEZONES.name, value) == "TimezoneRecord"
    assert RECORDS.message(STORES.name, encode_store(store)) == "StoreRecord"
    assert RECORDS.message(WATERMARKS.name, encode_watermark(watermark)) == "WatermarkRecord"


@given(wire.report_requests)
def test_requests_are_described(request: Any) -> None:
    written = encode_request(request)
    name = RECORDS.message(REPORT_REQUESTS.name, written)
    assert RECORDS.message(STORE_QUERIES.name, written) == name
    kind = type(request).__name__
    if kind == "FleetRequest" and request.store_ids is not None:
        kind = "StoresRequest"
    assert (
        name
        == {
            "ReportRequest": "StoreReportRequest",
            "FleetRequest": "FleetReportRequest",
            "StoresRequest": "StoresReportRequest",
            "FleetPartRequest": "PartRequest",
        }[kind]
    )


def result_chunk(form: ReportSpec) -> ResultChunk:
    head, rows = fleet_content(form)
    return ResultChunk(
        0, 8, "a", 0, 1, NOON, rows, common_provenance(SETTINGS), OFFSETS, head["columns"]
    )


@pytest.mark.parametrize(
    ("event", "name"),
    [
        (ReportEvent(REPORT, "running", 5), "ReportRunning"),
        (ReportEvent(REPORT, "failed", 5, reason="why"), "ReportFailed"),
        *(
            (
                ReportEvent(REPORT, "complete", 5, report=ReportDocument(store_content(form))),
                "ReportComplete",
            )
            for form in FORMS.values()
        ),
        (
            ReportEvent(
                REPORT,
                "complete",
                5,
                report=ReportDocument(store_content(ReportSpec(), detailed=True)),
            ),
            "ReportComplete",
        ),
        *(
            (ReportEvent(REPORT, "running", 5, chunk=result_chunk(form)), "ReportPiece")
            for form in FORMS.values()
        ),
    ],
)
def test_results_are_described(event: ReportEvent, name: str) -> None:
    for topic in (REPORT_RESULTS, QUERY_RESULTS):
        assert RECORDS.message(topic.name, encode_event(event)) == name


sources = st.one_of(
    st.fixed_dictionaries({"topic": st.text(), "partition": wire.offsets, "offset": wire.offsets}),
    st.fixed_dictionaries(
        {"file": st.text(), "line": wire.offsets},
        optional={"kind": st.text(), "columns": st.text()},
    ),
    st.fixed_dictionaries({"http": wire.uuids, "path": st.text()}, optional={"item": wire.offsets}),
)


@given(
    st.builds(
        DeadLetter,
        sources,
        st.text(),
        st.none() | st.binary(),
        st.none() | st.binary(),
        st.booleans(),
    )
)
def test_dead_letters_are_described(dead_letter: DeadLetter) -> None:
    value = encode_dead_letter(dead_letter)
    assert RECORDS.message(DEAD_LETTERS.name, value) == "DeadLetterRecord"


def test_every_field_says_what_it_means() -> None:
    """The docstring below a field is its description, which the page of the topics shows."""
    schemas = DOCUMENT["components"]["schemas"]
    undescribed = [
        f"{name}.{field}"
        for name, schema in schemas.items()
        for field, shape in schema["properties"].items()
        if not shape.get("description")
    ]
    assert undescribed == []


@pytest.mark.parametrize(
    ("topic", "value"),
    [
        (STORE_STATUS, {"store_id": STORE, "polls": [[5, 2]]}),
        (STORE_STATUS, {"store_id": STORE, "polls": [[5]]}),
        (STORE_STATUS, {"store_id": STORE, "polls": [[5, 1, 1]]}),
        (STORE_STATUS, {"store_id": STORE, "polls": []}),
        (STORE_STATUS, {"store_id": STORE, "status": "open", "timestamp_utc": wire.NOON}),
        (STORE_STATUS, {"store_id": "7", "status": "active", "timestamp_utc": wire.NOON}),
        (STORE_STATUS, {"store_id": STORE, "status": "active", "timestamp_utc": "9999-01-01T00Z"}),
        (STORE_BUSINESS_HOURS, {"store_id": STORE, "hours": [[7, "09:00", "17:00"]]}),
        (STORE_BUSINESS_HOURS, {"store_id": STORE, "hours": [[0, "24:00", "17:00"]]}),
        (STORE_BUSINESS_HOURS, {"store_id": STORE, "hours": [[0, "09:00"]]}),
        (REPORT_REQUESTS, {"report_id": REPORT}),
        (REPORT_REQUESTS, {"report_id": REPORT, "scope": "fleet", "store_id": STORE}),
        (REPORT_RESULTS, {"report_id": REPORT, "status": "done", "at": wire.NOON}),
    ],
)
def test_a_record_that_readers_reject_fits_no_description(topic: TopicSpec, value: Any) -> None:
    assert RECORDS.matching(topic.name, wire.wire(value)) == []
