"""The document of a report has the figures, their provenance and the rows of the CSV."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import pytz

from stream_app.contracts.business_hours import hours_version
from stream_app.contracts.report_results import ReportEvent, decode_event, encode_event
from stream_app.domain.report import CSV_HEADER, csv_text
from stream_app.domain.report_rows import ReportRow
from stream_app.domain.report_spec import ReportSpec
from stream_app.domain.timestamps import DAY
from stream_app.settings import Settings
from stream_app.worker.report_document import StoreProvenance, common_provenance, store_document

if TYPE_CHECKING:
    from stream_app.contracts.report_results import ReportDocument

REPORT = "7d3a8c52-1111-4a6b-9b1e-2f3a4b5c6d7e"
STORE = "0f5c1a3e-9f2b-4b8e-8a6b-0d8e6f1c2b3a"
FIGURES = [59, 3.0, 167.88, 1, 20.98, 0.12]
NOON = 1_710_072_000_000_000


def document(store_id: str = STORE) -> ReportDocument:
    row = ReportRow([store_id, *FIGURES], 9, 0.25)
    return store_document(
        ReportSpec(),
        [row],
        StoreProvenance("America/Chicago", [(0, "09:00", "17:00")], hours_version(b"hours")),
        row,
        reference_time=NOON,
        provenance={"lookback": "1h", "default_status": "inactive"},
        input_offsets={"store-status": {"3": 17}},
        lost_input=[],
        details={},
    )


def received(sent: ReportDocument) -> ReportDocument:
    """Encode a document as an event, and return the document that a reader decodes."""
    event = decode_event(encode_event(ReportEvent(REPORT, "complete", 5, report=sent)))
    assert event.report is not None
    return event.report


def test_the_csv_of_a_received_document_has_the_same_values() -> None:
    """The figures go through Kafka as JSON."""
    assert csv_text(received(document()).csv_rows()) == csv_text([[STORE, *FIGURES]])


def test_the_csv_has_no_spreadsheet_formula_and_no_quote() -> None:
    text = csv_text(document().csv_rows())

    assert [len(row) for row in csv.reader(io.StringIO(text))] == [7, 7]
    assert '"' not in text


def test_a_document_names_its_provenance() -> None:
    provenance = {
        "reference_time": "2024-03-10T12:00:00Z",
        "timezone": "America/Chicago",
        "hours_version": hours_version(b"hours"),
        "lookback": "1h",
        "default_status": "inactive",
        "polls_counted": 9,
        "coverage": 0.25,
        "input_offsets": {"store-status": {"3": 17}},
    }

    assert document().fields == {
        "store_id": STORE,
        "uptime_last_hour": 59,
        "uptime_last_day": 3.0,
        "uptime_last_week": 167.88,
        "downtime_last_hour": 1,
        "downtime_last_day": 20.98,
        "downtime_last_week": 0.12,
        "business_hours": [(0, "09:00", "17:00")],
        "columns": CSV_HEADER,
        **provenance,
    }
    assert document().provenance == provenance


def test_lost_input_is_part_of_the_provenance() -> None:
    lost = [{"topic": "store-status", "partition": 3, "first_offset": 5, "end_offset": 9}]
    row = ReportRow([STORE, *FIGURES], 9, 0.25)
    with_loss = store_document(
        ReportSpec(),
        [row],
        StoreProvenance("UTC", None, hours_version(None)),
        row,
        reference_time=NOON,
        provenance={},
        input_offsets={},
        lost_input=lost,
        details={},
    )

    assert received(with_loss).provenance["lost_input"] == lost


def test_all_figures_are_computed_with_settings_and_the_timezone_database() -> None:
    settings = Settings.from_environment({"STORE_UPTIME_LOOKBACK": "90m"})
    assert common_provenance(settings) == {
        "lookback": "1h30m",
        "default_status": "inactive",
        "stale_after": "2h",
        "tzdata_version": pytz.OLSON_VERSION,  # type: ignore[attr-defined]
    }


def test_the_version_of_hours_follows_their_rows() -> None:
    assert hours_version(None) == hours_version(b"[]") != hours_version(b'[[0,"09:00","17:00"]]')


def test_a_daily_report_has_one_row_for_each_day() -> None:
    days = [
        ReportRow([STORE, day, f"{day}T00:00:00Z", f"{day}T09:00:00Z", 500, 40], 9, 1.0)
        for day in ("2024-03-09", "2024-03-10")
    ]
    report = received(
        store_document(
            ReportSpec(duration=2 * DAY, daily=True),
            days,
            StoreProvenance("UTC", None, hours_version(None)),
            ReportRow([], 19, 0.5),
            reference_time=NOON,
            provenance={},
            input_offsets={},
            lost_input=[],
            details={},
        )
    )

    assert (report.fields["polls_counted"], report.fields["coverage"]) == (19, 0.5)
    assert report.fields["days"][0] == {
        "date": "2024-03-09",
        "start": "2024-03-09T00:00:00Z",
        "end": "2024-03-09T09:00:00Z",
        "uptime_minutes": 500,
        "downtime_minutes": 40,
        "polls_counted": 9,
        "coverage": 1.0,
    }
    assert csv_text(report.csv_rows(), report.columns) == (
        "store_id,date,start,end,uptime_minutes,downtime_minutes\n"
        f"{STORE},2024-03-09,2024-03-09T00:00:00Z,2024-03-09T09:00:00Z,500,40\n"
        f"{STORE},2024-03-10,2024-03-10T00:00:00Z,2024-03-10T09:00:00Z,500,40\n"
    )
