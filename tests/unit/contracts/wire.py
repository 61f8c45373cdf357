"""Records as bytes: strategies for good ones, and one good record of every kind."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from stream_app.contracts.business_hours import BusinessHours, HoursRecord, decode_hours
from stream_app.contracts.dead_letters import DeadLetter
from stream_app.contracts.polls import PollBatch, decode_poll_batch
from stream_app.contracts.report_requests import (
    DETAILS,
    FleetPartRequest,
    FleetRequest,
    ReportRequest,
    decode_request,
)
from stream_app.contracts.report_results import (
    EXTRA_COLUMNS,
    ReportDocument,
    ReportEvent,
    ResultChunk,
    decode_event,
)
from stream_app.contracts.stores import StoreRecord, TimezoneRecord, decode_store, decode_timezone
from stream_app.contracts.watermarks import Watermark, decode_watermark
from stream_app.domain.report import CSV_HEADER
from stream_app.domain.report_spec import ReportSpec
from stream_app.domain.timestamps import LATEST, WEEK

STORE = "0f5c1a3e-9f2b-4b8e-8a6b-0d8e6f1c2b3a"
REPORT = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
NOON = "2024-03-10T12:00:00Z"

DECODERS: dict[str, Any] = {
    "poll": decode_poll_batch,
    "polls": decode_poll_batch,
    "hours": decode_hours,
    "zone": decode_timezone,
    "store": decode_store,
    "request": decode_request,
    "event": decode_event,
    "watermark": decode_watermark,
}

GOOD: dict[str, dict[str, Any]] = {
    "poll": {"store_id": STORE, "status": "active", "timestamp_utc": NOON},
    "polls": {"store_id": STORE, "polls": [[1_700_000_000_000_000, 1]]},
    "hours": {"store_id": STORE, "hours": [[0, "09:00:00", "17:00:00"]]},
    "zone": {"store_id": STORE, "timezone_str": "Europe/Berlin"},
    "store": {"store_id": STORE},
    "request": {"report_id": REPORT, "store_id": STORE, "reference_time": NOON},
    "event": {"report_id": REPORT, "status": "failed", "at": NOON, "reason": "too late"},
    "watermark": {"topic": "store-status", "partition": 3, "applied": 70, "newest_poll": None},
}
"""One good record of every kind, with all its fields."""


def wire(content: Any) -> bytes:
    return json.dumps(content).encode()


def unchecked_hours(store_id: str, rows: Any) -> bytes:
    """Return a record of business hours with rows of any kind, as a client may write it."""
    return wire({"store_id": store_id, "hours": rows})


def nested(depth: int) -> Any:
    """Return a list in a list in a list, `depth` lists in all."""
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


def nested_text(depth: int) -> str:
    return "[" * depth + "]" * depth


uuids = st.uuids().map(str)
instants = st.integers(0, LATEST - 1)
offsets = st.integers(0, 2**63 - 1)

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)

poll_batches = st.builds(
    PollBatch, uuids, st.lists(st.tuples(instants, st.booleans()), min_size=1, max_size=20)
)
times_of_day = st.times().map(lambda time: time.isoformat())
hours_records = st.builds(
    HoursRecord,
    uuids,
    st.lists(st.tuples(st.integers(0, 6), times_of_day, times_of_day), max_size=10).map(
        lambda rows: BusinessHours(tuple(rows))
    ),
)
zone_records = st.builds(
    TimezoneRecord,
    uuids,
    st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=100).map(str.strip),
)
store_records = st.builds(StoreRecord, uuids)
dead_letters = st.builds(
    DeadLetter,
    source=st.fixed_dictionaries({"topic": st.text(), "partition": offsets, "offset": offsets})
    | st.fixed_dictionaries(
        {"file": st.text(), "line": offsets}, optional={"kind": st.text(), "columns": st.text()}
    )
    | st.fixed_dictionaries({"http": st.text(), "item": offsets, "path": st.text()}),
    reason=st.text(),
    original=st.none() | st.binary() | st.text().map(str.encode),
    key=st.none() | st.binary(),
    truncated=st.booleans(),
)
watermarks = st.builds(
    Watermark, st.text(), offsets, offsets, st.none() | instants, st.none() | st.text()
)
named_stores = st.none() | st.sets(uuids, min_size=1, max_size=5).map(
    lambda ids: tuple(sorted(ids))
)
forms = st.one_of(
    st.builds(ReportSpec, instants, st.none(), st.booleans(), st.booleans()),
    st.builds(
        ReportSpec, st.none(), st.none() | st.integers(0, WEEK), st.booleans(), st.booleans()
    ),
)
details = st.sets(st.sampled_from(DETAILS)).map(
    lambda chosen: tuple(detail for detail in DETAILS if detail in chosen)
)
maybe = st.none() | instants
report_requests = st.one_of(
    st.builds(ReportRequest, uuids, uuids, maybe, maybe, forms, details),
    st.builds(FleetRequest, uuids, named_stores, maybe, maybe, forms),
    st.builds(
        FleetPartRequest,
        uuids,
        offsets,
        st.integers(1, 99),
        instants,
        instants,
        named_stores,
        forms,
    ),
)
figures = st.text() | st.integers(0, 10_080) | st.floats(0, 168, allow_nan=False)
minutes = st.integers(0, 60)
counts = st.integers(0, 2**53)
day_hours = st.floats(0, 24)
week_hours = st.floats(0, 168)
lines = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=50)
public = {
    name: uuids
    if name == "store_id"
    else minutes
    if name.endswith("_hour")
    else day_hours
    if name.endswith("_day")
    else week_hours
    for name in CSV_HEADER
}
further = {
    "timezone": lines,
    "hours_version": lines,
    "polls_counted": minutes,
    "coverage": st.none() | st.floats(0, 1),
    "unknown_timezone": st.none() | lines,
}
contents = st.builds(
    lambda public, more: more | public,
    st.fixed_dictionaries(public | {"reference_time": st.just(NOON)}, optional=further),
    # no name of a column, whose values have types
    st.dictionaries(st.text().map("x-{}".format), figures),
)
rows = st.tuples(*public.values(), *(further[name] for name in EXTRA_COLUMNS)).map(list)
pieces = st.builds(
    ResultChunk,
    part=counts,
    parts=st.integers(1, 99),
    attempt=lines,
    chunk=counts,
    chunks=st.integers(1, 99),
    reference_time=instants,
    rows=st.lists(rows, max_size=3),
    provenance=st.dictionaries(st.text(), st.text(), max_size=3),
    input_offsets=st.dictionaries(lines.filter(bool), offsets, max_size=3),
)
report_events = st.one_of(
    st.builds(ReportEvent, uuids, st.just("running"), instants, chunk=st.none() | pieces),
    st.builds(
        ReportEvent, uuids, st.just("complete"), instants, report=contents.map(ReportDocument)
    ),
    st.builds(ReportEvent, uuids, st.just("failed"), instants, st.none() | st.text()),
)
