"""A request carries the spec of its report, and ISO 8601 durations."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.contracts.report_requests import (
    FleetRequest,
    ReportRequest,
    decode_request,
    encode_request,
    request_fingerprint,
)
from stream_app.domain.report_spec import ReportSpec
from stream_app.domain.timestamps import (
    DAY,
    HOUR,
    MINUTE,
    SECOND,
    WEEK,
    format_iso_duration,
    parse_iso_duration,
)
from stream_app.errors import RecordError
from tests.unit.contracts.wire import REPORT, STORE

if TYPE_CHECKING:
    from stream_app.contracts.report_requests import ReportRequestRecord

NOON = 1_710_072_000_000_000


def wire(**fields: Any) -> bytes:
    return json.dumps({"report_id": REPORT, "store_id": STORE, **fields}).encode()


def test_a_request_has_only_the_fields_that_differ_from_the_default() -> None:
    form = ReportSpec(start=NOON, daily=True)
    request = ReportRequest(REPORT, STORE, spec=form, details=("timeline", "incidents"))
    assert json.loads(encode_request(request)) == {
        "report_id": REPORT,
        "store_id": STORE,
        "start": "2024-03-10T12:00:00Z",
        "daily": True,
        "details": ["timeline", "incidents"],
    }


def test_any_client_may_name_the_end_and_the_details_in_any_order() -> None:
    value = wire(end="2024-03-10T12:00:00Z", duration="P1D", details=["incidents", "windows"])
    assert decode_request(value) == ReportRequest(
        REPORT,
        STORE,
        NOON,
        spec=ReportSpec(duration=DAY),
        details=("windows", "incidents"),
    )


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"start": "x"}, "start: not a time"),
        ({"duration": 7}, "not a duration"),
        ({"duration": "P1Y"}, "not a duration"),
        ({"start": "2024-03-10T12:00:00Z", "duration": "P1D"}, "start and duration"),
        ({"daily": "true"}, "daily is not true or false"),
        ({"exact": 1}, "exact is not true or false"),
        ({"details": "timeline"}, "details are not of"),
        ({"details": ["polls"]}, "details are not of"),
        ({"details": [["timeline"]]}, "details are not of"),
    ],
)
def test_a_bad_field_is_refused(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(RecordError, match=reason):
        decode_request(wire(**fields))


def test_requests_with_different_specs_have_different_fingerprints() -> None:
    requests: list[ReportRequestRecord] = [
        ReportRequest(REPORT, STORE),
        ReportRequest(REPORT, STORE, spec=ReportSpec(daily=True)),
        ReportRequest(REPORT, STORE, spec=ReportSpec(exact=True)),
        ReportRequest(REPORT, STORE, details=("timeline",)),
        FleetRequest(REPORT),
        FleetRequest(REPORT, spec=ReportSpec(duration=DAY)),
        FleetRequest(REPORT, (STORE,)),
    ]
    assert len({request_fingerprint(request) for request in requests}) == len(requests)
    assert request_fingerprint(requests[0]) == STORE
    assert request_fingerprint(requests[1]) == request_fingerprint(
        decode_request(encode_request(requests[1]))
    )


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("P7D", WEEK),
        ("P1W", WEEK),
        ("PT90M", 90 * MINUTE),
        ("P1DT2H3M4.5S", DAY + 2 * HOUR + 3 * MINUTE + 4 * SECOND + SECOND // 2),
        (" PT0.000001S ", 1),
        ("P0D", 0),
    ],
)
def test_a_duration_is_read(text: str, duration: int) -> None:
    assert parse_iso_duration(text) == duration


@pytest.mark.parametrize(
    "text",
    ["", "P", "PT", "P1DT", "7d", "P1Y", "P1M", "-P1D", "P1.5D", "PT1.1234567S", "P1H", 5, None],
)
def test_a_text_that_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(RecordError, match="not a duration"):
        parse_iso_duration(text)


@given(st.integers(0, 400 * DAY))
def test_a_duration_survives_the_wire(duration: int) -> None:
    assert parse_iso_duration(format_iso_duration(duration)) == duration
