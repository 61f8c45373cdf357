from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest

from stream_app.domain.report import CSV_HEADER, StoreReport, to_csv
from stream_app.domain.timestamps import MINUTE
from stream_app.domain.uptime import UpDown, WindowTotals
from tests import minute_walk

STORE = "0f5c1a3e-9f2b-4b8e-8a6b-0d8e6f1c2b3a"
FIGURES = WindowTotals(
    hour=UpDown(59, 1), day=UpDown(180, 1259), week=UpDown(10_073, 1), unit=MINUTE, polls_counted=9
)
REPORT = StoreReport.from_figures(STORE, 1_700_000_000_000_000, FIGURES)


def test_hours_have_two_decimals_and_minutes_are_whole() -> None:
    assert (REPORT.uptime_last_hour, REPORT.downtime_last_hour) == (59, 1)
    assert (REPORT.uptime_last_day, REPORT.downtime_last_day) == (3.0, 20.98)
    assert (REPORT.uptime_last_week, REPORT.downtime_last_week) == (167.88, 0.02)


def test_exact_figures_are_no_report() -> None:
    with pytest.raises(ValueError, match="in minutes"):
        StoreReport.from_figures(STORE, 0, replace(FIGURES, unit=1))


def test_the_csv_to_the_byte() -> None:
    assert to_csv([REPORT]) == (
        "store_id,uptime_last_hour,uptime_last_day,uptime_last_week,"
        "downtime_last_hour,downtime_last_day,downtime_last_week\n"
        f"{STORE},59,3.0,167.88,1,20.98,0.02\n"
    )


def test_one_header_then_one_row_a_store_in_the_order_given() -> None:
    other = replace(REPORT, store_id="a")

    lines = to_csv(report for report in (REPORT, other)).splitlines()

    assert [line.split(",")[0] for line in lines] == ["store_id", STORE, "a"]


def test_no_store_is_a_header_alone() -> None:
    assert to_csv([]) == ",".join(CSV_HEADER) + "\n" == minute_walk.HEADER


def test_an_id_that_needs_quotes_reads_back() -> None:
    odd = 'a,"b"'

    rows = list(csv.DictReader(io.StringIO(to_csv([replace(REPORT, store_id=odd)]))))

    assert rows[0]["store_id"] == odd
    assert rows[0]["uptime_last_week"] == "167.88"
