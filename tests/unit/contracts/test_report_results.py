from __future__ import annotations

import json

import pytest

from stream_app.contracts.report_requests import ReportRequest, decode_request, encode_request
from stream_app.contracts.report_results import (
    FIRST_EXTRA_COLUMNS,
    ReportDocument,
    ReportEvent,
    decode_event,
    encode_event,
)
from stream_app.domain.report import CSV_HEADER
from stream_app.domain.report_spec import ReportSpec
from stream_app.domain.timestamps import DAY, WEEK, parse_instant
from stream_app.errors import RecordError
from tests.report_contents import FORMS, NOON, fleet_content, store_content
from tests.unit.contracts.wire import REPORT, STORE


@pytest.mark.parametrize("form", FORMS)
def test_a_document_knows_the_spec_of_its_figures(form: str) -> None:
    document = ReportDocument.decode(store_content(FORMS[form]))

    assert document.spec.columns == document.columns == FORMS[form].columns
    assert document.spec.windows == FORMS[form].windows
    assert document.spec.span(NOON) == FORMS[form].span(NOON)


@pytest.mark.parametrize("form", FORMS)
def test_a_document_of_many_stores_reads_its_rows_from_an_answer(form: str) -> None:
    head, values = fleet_content(FORMS[form])
    fields = (*head["columns"], *head["further"])
    rows = [dict(zip(fields, row, strict=True)) for row in values]

    document = ReportDocument.decode({**head, "reports": rows})

    assert (document.rows(), document.row_fields) == (rows, fields)
    assert list(document.csv_rows()) == [row[: len(document.columns)] for row in values]
    assert document.spec.span(NOON) == FORMS[form].span(NOON)
    assert "further" not in document.to_json(REPORT)


def test_a_column_of_a_later_version_does_not_hide_the_spec() -> None:
    week = ReportSpec.of_columns([*ReportSpec(duration=WEEK, daily=True).columns, "uptime_share"])

    assert (week.daily, week.exact, week.windows) == (True, False, False)
    assert ReportSpec.of_columns(ReportSpec(duration=DAY, exact=True).columns).exact


def test_a_document_of_an_earlier_version_has_the_first_columns() -> None:
    one = ReportDocument.decode({"store_id": STORE})
    many = ReportDocument.decode({"reference_time": "2024-03-10T12:00:00Z"})

    assert (one.columns, one.row_fields) == (CSV_HEADER, CSV_HEADER)
    assert many.row_fields == (*CSV_HEADER, *FIRST_EXTRA_COLUMNS)
    assert many.reference_time == parse_instant("2024-03-10T12:00:00Z")


@pytest.mark.parametrize("columns", [5, "store_id", [1], {}])
def test_columns_that_are_no_names_are_refused(columns: object) -> None:
    with pytest.raises(RecordError, match="columns is not a list of names"):
        ReportDocument.decode({"store_id": STORE, "columns": columns})


@pytest.mark.parametrize("days", ["[]", [1], [{"date": "2024-03-09"}]])
def test_a_daily_report_without_its_figures_is_refused(days: object) -> None:
    content = {"store_id": STORE, "columns": ["store_id", "date", "uptime_minutes"], "days": days}
    document = ReportDocument.decode(content)
    value = encode_event(ReportEvent(REPORT, "complete", 5, report=document))
    with pytest.raises(RecordError):
        decode_event(value)


def test_a_request_has_the_form_of_the_contract() -> None:
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
    event = {"report_id": REPORT, "status": "complete", "at": "2024-03-10T12:00:00Z"}
    for value in (event, {**event, "report": report}):
        with pytest.raises(
            RecordError, match=r"report is missing|report: input should be a valid dictionary"
        ):
            decode_event(json.dumps(value).encode())


@pytest.mark.parametrize("missing", ["store_id", "uptime_last_hour", "downtime_last_week"])
def test_a_report_without_a_figure_is_refused(missing: str) -> None:
    content = store_content(ReportSpec())
    document = ReportDocument.decode({name: content[name] for name in content if name != missing})
    value = encode_event(ReportEvent(REPORT, "complete", 5, report=document))
    with pytest.raises(RecordError, match=f"a report without {missing}"):
        decode_event(value)
