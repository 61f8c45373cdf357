from __future__ import annotations

import csv
import io
import json

import pytest
import pytz

from stream_app.contracts.business_hours import hours_version
from stream_app.contracts.report_requests import ReportRequest, decode_request, encode_request
from stream_app.contracts.report_results import (
    ReportEvent,
    StoreBasis,
    basis_of,
    decode_event,
    encode_event,
    report_content,
    report_csv,
)
from stream_app.domain.report import CSV_HEADER, csv_text
from stream_app.domain.report_spec import ReportRow, ReportSpec
from stream_app.domain.timestamps import DAY
from stream_app.errors import RecordError
from stream_app.settings import Settings
from tests.unit.contracts.wire import REPORT, STORE

HEADER = (
    "store_id,uptime_last_hour,uptime_last_day,uptime_last_week,"
    "downtime_last_hour,downtime_last_day,downtime_last_week\n"
)
OTHER = "1f5c1a3e-9f2b-4b8e-8a6b-0d8e6f1c2b3a"


FIGURES = [59, 3.0, 167.88, 1, 20.98, 0.12]


def content(store_id: str) -> dict[str, object]:
    row = ReportRow([store_id, *FIGURES], 9, 0.25)
    return report_content(
        ReportSpec(),
        [row],
        1_710_072_000_000_000,
        StoreBasis("America/Chicago", [(0, "09:00", "17:00")], hours_version(b"hours")),
        {"lookback": "1h", "default_status": "inactive"},
        {"store-status": {"3": 17}},
        row,
    )


def test_csv_is_a_header_and_a_row_a_store() -> None:
    assert report_csv([content(STORE), content(OTHER)]) == (
        HEADER + f"{STORE},59,3.0,167.88,1,20.98,0.12\n" + f"{OTHER},59,3.0,167.88,1,20.98,0.12\n"
    )


def test_csv_of_no_store_is_the_header() -> None:
    assert report_csv([]) == HEADER


def test_csv_survives_the_wire() -> None:
    """The figures pass Kafka as JSON; the CSV at the other end has the same values."""
    event = decode_event(encode_event(ReportEvent(REPORT, "complete", 5, report=content(STORE))))
    assert event.report is not None
    assert report_csv([event.report]) == csv_text([[STORE, *FIGURES]])


def test_csv_has_no_spreadsheet_formula_and_no_quote() -> None:
    rows = list(csv.reader(io.StringIO(report_csv([content(STORE)]))))
    assert [len(row) for row in rows] == [7, 7]
    assert '"' not in report_csv([content(STORE)])


def test_the_content_names_what_the_figures_rest_on() -> None:
    assert content(STORE) == {
        "store_id": STORE,
        "reference_time": "2024-03-10T12:00:00Z",
        "uptime_last_hour": 59,
        "uptime_last_day": 3.0,
        "uptime_last_week": 167.88,
        "downtime_last_hour": 1,
        "downtime_last_day": 20.98,
        "downtime_last_week": 0.12,
        "timezone": "America/Chicago",
        "business_hours": [(0, "09:00", "17:00")],
        "hours_version": hours_version(b"hours"),
        "lookback": "1h",
        "default_status": "inactive",
        "polls_counted": 9,
        "coverage": 0.25,
        "input_offsets": {"store-status": {"3": 17}},
        "columns": CSV_HEADER,
    }


def test_all_figures_rest_on_settings_and_on_the_zone_tables() -> None:
    settings = Settings.from_environment({"STORE_UPTIME_LOOKBACK": "90m"})
    assert basis_of(settings) == {
        "lookback": "1h30m",
        "default_status": "inactive",
        "stale_after": "2h",
        "tzdata_version": pytz.OLSON_VERSION,  # type: ignore[attr-defined]
    }


def test_the_version_of_hours_follows_their_rows() -> None:
    assert hours_version(None) == hours_version(b"[]") != hours_version(b'[[0,"09:00","17:00"]]')


def test_a_daily_report_is_a_row_a_day() -> None:
    form = ReportSpec(duration=2 * DAY, daily=True)
    rows = [
        ReportRow([STORE, day, f"{day}T00:00:00Z", f"{day}T09:00:00Z", 500, 40], 9, 1.0)
        for day in ("2024-03-09", "2024-03-10")
    ]
    store = StoreBasis("UTC", None, hours_version(None))
    told = report_content(form, rows, 1_710_072_000_000_000, store, {}, {}, ReportRow([], 19, 0.5))

    event = decode_event(encode_event(ReportEvent(REPORT, "complete", 5, report=told)))

    assert event.report is not None
    assert (event.report["polls_counted"], event.report["coverage"]) == (19, 0.5)
    assert event.report["days"][0] == {
        "date": "2024-03-09",
        "start": "2024-03-09T00:00:00Z",
        "end": "2024-03-09T09:00:00Z",
        "uptime_minutes": 500,
        "downtime_minutes": 40,
        "polls_counted": 9,
        "coverage": 1.0,
    }
    assert report_csv([event.report]) == (
        "store_id,date,start,end,uptime_minutes,downtime_minutes\n"
        f"{STORE},2024-03-09,2024-03-09T00:00:00Z,2024-03-09T09:00:00Z,500,40\n"
        f"{STORE},2024-03-10,2024-03-10T00:00:00Z,2024-03-10T09:00:00Z,500,40\n"
    )


@pytest.mark.parametrize("days", ["[]", [1], [{"date": "2024-03-09"}]])
def test_a_daily_report_without_its_figures_is_refused(days: object) -> None:
    told = {"store_id": STORE, "columns": ["store_id", "date", "uptime_minutes"], "days": days}
    value = encode_event(ReportEvent(REPORT, "complete", 5, report=told))
    with pytest.raises(RecordError):
        decode_event(value)


def test_a_request_is_written_as_the_contract_says() -> None:
    assert json.loads(encode_request(ReportRequest(REPORT, STORE))) == {
        "report_id": REPORT,
        "store_id": STORE,
    }
    full = ReportRequest(REPORT, STORE, 1_710_072_000_000_000, 1_710_072_000_000_001)
    assert json.loads(encode_request(full)) == {
        "report_id": REPORT,
        "store_id": STORE,
        "reference_time": "2024-03-10T12:00:00Z",
        "requested_at": "2024-03-10T12:00:00.000001Z",
    }


def test_a_request_of_any_kafka_client_is_read() -> None:
    value = {
        "report_id": REPORT.upper(),
        "store_id": STORE.replace("-", ""),
        "reference_time": "2024-03-10 12:00:00 UTC",
    }
    request = decode_request(json.dumps(value).encode())
    assert request == ReportRequest(REPORT, STORE, 1_710_072_000_000_000)


def test_a_null_reference_time_is_none() -> None:
    value = {"report_id": REPORT, "store_id": STORE, "reference_time": None}
    assert decode_request(json.dumps(value).encode()).reference_time is None


@pytest.mark.parametrize("report", [5, None, [], "x"])
def test_a_report_that_is_no_object_is_refused(report: object) -> None:
    told = {"report_id": REPORT, "status": "complete", "at": "2024-03-10T12:00:00Z"}
    for value in (told, {**told, "report": report}):
        with pytest.raises(RecordError, match="report is not an object"):
            decode_event(json.dumps(value).encode())


@pytest.mark.parametrize("missing", ["store_id", "uptime_last_hour", "downtime_last_week"])
def test_a_report_without_a_figure_is_refused(missing: str) -> None:
    figures = {name: part for name, part in content(STORE).items() if name != missing}
    value = encode_event(ReportEvent(REPORT, "complete", 5, report=figures))
    with pytest.raises(RecordError, match=f"a report without {missing}"):
        decode_event(value)
