"""Requests for many stores: their fields, and the fingerprint that equal requests share."""

from __future__ import annotations

from typing import Any

import pytest

from stream_app.contracts.report_requests import (
    FLEET,
    FleetPartRequest,
    FleetRequest,
    ReportRequest,
    decode_request,
    request_fingerprint,
    with_original_time,
)
from stream_app.contracts.report_results import ReportEvent, ResultChunk, decode_event, event_key
from stream_app.errors import RecordError
from tests.unit.contracts.wire import NOON, REPORT, STORE, wire

OTHER = "1f5c1a3e-9f2b-4b8e-8a6b-0d8e6f1c2b3a"


def request(**fields: Any) -> Any:
    return decode_request(wire({"report_id": REPORT, **fields}))


def test_any_client_may_ask_for_all_stores_or_for_some() -> None:
    assert request(scope="fleet") == FleetRequest(REPORT)
    assert request(store_ids=[OTHER, STORE.upper(), OTHER]) == FleetRequest(REPORT, (STORE, OTHER))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "store_id is missing"),
        ({"scope": "all"}, "scope is not 'fleet': 'all'"),
        ({"scope": "fleet", "store_id": STORE}, "store_id and scope: only one of them"),
        ({"scope": "fleet", "store_ids": [STORE]}, "store_ids and scope: only one of them"),
        ({"store_ids": {}}, "store_ids is not a list but dict"),
        ({"store_ids": []}, "store_ids names 0 stores"),
        ({"store_ids": [STORE, "x"]}, "store_id is not a UUID"),
        ({"scope": "fleet", "part": 1, "parts": 2}, "a part without reference_time"),
        (
            {
                "scope": "fleet",
                "part": "1",
                "parts": 2,
                "reference_time": NOON,
                "requested_at": NOON,
            },
            "part is not a number from 0 on",
        ),
    ],
    ids=str,
)
def test_a_bad_request_is_refused(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(RecordError, match=reason):
        request(**fields)


def test_requests_for_the_same_stores_have_the_same_fingerprint() -> None:
    assert request_fingerprint(FleetRequest(REPORT)) == FLEET
    assert request_fingerprint(ReportRequest(REPORT, STORE)) == STORE
    some, fewer = FleetRequest(REPORT, (STORE, OTHER)), FleetRequest(REPORT, (STORE,))
    assert request_fingerprint(some) == request_fingerprint(FleetRequest(OTHER, (STORE, OTHER)))
    assert len({request_fingerprint(each) for each in (some, fewer, FleetRequest(REPORT))}) == 3


def test_a_repeated_request_keeps_its_first_time() -> None:
    part = FleetPartRequest(REPORT, 0, 1, 7, 50)
    assert with_original_time(part, 90) == part
    assert with_original_time(FleetRequest(REPORT), 90) == FleetRequest(REPORT, requested_at=90)


def test_no_two_chunks_share_a_key() -> None:
    """Compaction would remove one of them."""

    def chunk_event(part: int, attempt: str, number: int) -> ReportEvent:
        result_chunk = ResultChunk(part, 2, attempt, number, 2, 7, [], {}, {})
        return ReportEvent(REPORT, "running", 1, chunk=result_chunk)

    events = [chunk_event(p, a, n) for p in range(2) for a in ("a", "b") for n in range(2)]

    assert len({event_key(event) for event in events}) == len(events)
    assert event_key(ReportEvent(REPORT, "running", 1)) == REPORT.encode()


@pytest.mark.parametrize(
    "chunk",
    [
        [],
        {},
        {"rows": [["x"]]},
        {"rows": {}},
        {"rows": [], "attempt": 1, "lookback": "1h", "default_status": "inactive"},
    ],
    ids=str,
)
def test_a_bad_chunk_is_refused(chunk: Any) -> None:
    value = wire({"report_id": REPORT, "status": "running", "at": NOON, "piece": chunk})
    with pytest.raises(RecordError):
        decode_event(value)
