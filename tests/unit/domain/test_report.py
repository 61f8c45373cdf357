from __future__ import annotations

import csv
import io

from stream_app.domain.report import CSV_HEADER, csv_text, hours_of
from tests import minute_walk

STORE = "0f5c1a3e-9f2b-4b8e-8a6b-0d8e6f1c2b3a"
ROW = [STORE, 59, 3.0, 167.88, 1, 20.98, 0.02]


def test_hours_have_two_decimals() -> None:
    assert [hours_of(minutes) for minutes in (180, 1259, 10_073, 1)] == [3.0, 20.98, 167.88, 0.02]


def test_the_csv_to_the_byte() -> None:
    assert csv_text([ROW]) == (
        "store_id,uptime_last_hour,uptime_last_day,uptime_last_week,"
        "downtime_last_hour,downtime_last_day,downtime_last_week\n"
        f"{STORE},59,3.0,167.88,1,20.98,0.02\n"
    )


def test_one_header_then_one_row_a_store_in_the_order_given() -> None:
    lines = csv_text(row for row in (ROW, ["a", *ROW[1:]])).splitlines()

    assert [line.split(",")[0] for line in lines] == ["store_id", STORE, "a"]


def test_no_store_is_a_header_alone() -> None:
    assert csv_text([]) == ",".join(CSV_HEADER) + "\n" == minute_walk.HEADER


def test_an_id_that_needs_quotes_reads_back() -> None:
    odd = 'a,"b"'

    rows = list(csv.DictReader(io.StringIO(csv_text([[odd, *ROW[1:]]]))))

    assert rows[0]["store_id"] == odd
    assert rows[0]["uptime_last_week"] == "167.88"
