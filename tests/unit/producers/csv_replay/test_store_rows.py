from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from producers.csv_replay.open_file import Table
from producers.csv_replay.store_rows import StoreRows, read_hours, read_timezones
from producers.csv_replay.summary import store_row_warnings
from producers.csv_replay.table import HOURS, ZONES, RejectedRow
from stream_app.contracts.business_hours import MAX_HOURS_ROWS

if TYPE_CHECKING:
    from pathlib import Path

A = "0a0a0a0a-1111-4222-8333-444444444444"
B = "ffffffff-1111-4222-8333-444444444444"


def add_hours(store_rows: StoreRows, path: Path, *rows: str) -> tuple[int, int, list[RejectedRow]]:
    header = "store_id,day,start_time_local,end_time_local"
    path.write_text("\n".join([header, *rows]), encoding="utf-8")
    table = Table(path, HOURS)
    chunks = list(read_hours(table, store_rows))
    table.close()
    return (
        sum(chunk.accepted for chunk in chunks),
        sum(chunk.duplicates for chunk in chunks),
        [row for chunk in chunks for row in chunk.rejected],
    )


def add_zones(store_rows: StoreRows, path: Path, *rows: str) -> tuple[int, int, list[RejectedRow]]:
    path.write_text("\n".join(["store_id,timezone_str", *rows]), encoding="utf-8")
    table = Table(path, ZONES)
    chunks = list(read_timezones(table, store_rows))
    table.close()
    return (
        sum(chunk.accepted for chunk in chunks),
        sum(chunk.duplicates for chunk in chunks),
        [row for chunk in chunks for row in chunk.rejected],
    )


def test_the_rows_of_a_store_come_together_over_all_files(tmp_path: Path) -> None:
    store_rows = StoreRows()
    first = add_hours(store_rows, tmp_path / "1.csv", f"{A},0,09:00,17:00", f"{B},1,10:00:00,12:00")
    second = add_hours(
        store_rows,
        tmp_path / "2.csv",
        "",
        f"{A.upper()}, 1 , 22:00:00 ,02:00:00\r",
        f"{A},0,09:00,17:00",
    )
    assert first == (2, 0, [])
    assert second == (1, 1, [])
    assert {store: list(rows) for store, rows in store_rows.hours.items()} == {
        A: [(0, "09:00", "17:00"), (1, "22:00:00", "02:00:00")],
        B: [(1, "10:00:00", "12:00")],
    }


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (f"{A},7,09:00,17:00", "day 7 is not 0"),
        (f"{A},-1,09:00,17:00", "day -1 is not 0"),
        (f"{A},Monday,09:00,17:00", "day is not 0"),
        (f"{A},\u0661,09:00,17:00", "day is not 0"),
        (f"{A},,09:00,17:00", "day is not 0"),
        (f"{A},0,9 am,17:00", "hours of day 0: not a time of day"),
        (f"{A},0,24:00,17:00", "24:00 ends a day"),
        (f"{A},0,09:00,25:00", "no clock shows"),
        (f"{A},0,09:00", "3 columns where the header has 4"),
        ("me,0,09:00,17:00", "store_id is not a UUID"),
    ],
)
def test_a_bad_hours_row_is_rejected_and_the_good_ones_of_the_store_stay(
    tmp_path: Path, row: str, reason: str
) -> None:
    store_rows = StoreRows()
    accepted, _, (rejected,) = add_hours(
        store_rows, tmp_path / "hours.csv", f"{A},0,09:00,12:00", row, f"{A},1,09:00,24:00"
    )
    assert accepted == 2
    assert rejected.line == 3
    assert reason in rejected.reason
    assert rejected.original == row.encode()
    assert len(store_rows.hours[A]) == 2


def test_a_store_has_no_more_hours_rows_than_a_record_holds(tmp_path: Path) -> None:
    store_rows = StoreRows()
    rows = [
        f"{A},0,{minute // 60:02}:{minute % 60:02},23:59" for minute in range(MAX_HOURS_ROWS + 2)
    ]
    accepted, _, rejected = add_hours(store_rows, tmp_path / "hours.csv", *rows)
    assert accepted == MAX_HOURS_ROWS
    assert [row.line for row in rejected] == [MAX_HOURS_ROWS + 2, MAX_HOURS_ROWS + 3]


def test_the_last_timezone_of_a_store_wins_over_all_files(tmp_path: Path) -> None:
    store_rows = StoreRows()
    assert add_zones(
        store_rows, tmp_path / "1.csv", f"{A},America/Denver", f"{B}, Asia/Kolkata "
    ) == (2, 0, [])
    assert add_zones(store_rows, tmp_path / "2.csv", f"{A},America/Boise") == (0, 1, [])
    assert store_rows.timezones == {A: "America/Boise", B: "Asia/Kolkata"}


def test_an_overlong_timezone_is_rejected(tmp_path: Path) -> None:
    store_rows = StoreRows()
    _, _, (rejected,) = add_zones(store_rows, tmp_path / "zones.csv", f"{A},{'x' * 101}")
    assert rejected.reason == "timezone_str is 101 characters long"
    assert store_rows.timezones == {}


def test_each_store_has_one_warning_of_an_unknown_timezone_or_of_hours_that_open_nothing(
    tmp_path: Path,
) -> None:
    store_rows = StoreRows()
    add_zones(store_rows, tmp_path / "z.csv", f"{A},Mars/Phobos", f"{B},america/denver")
    add_hours(
        store_rows,
        tmp_path / "h.csv",
        f"{A},0,09:00,09:00",
        f"{A},1,00:00,00:00:00",
        f"{B},0,00:00,24:00",
    )
    assert list(store_row_warnings(store_rows, "America/Chicago")) == [
        f"warning: store {A}: the timezone 'Mars/Phobos' is unknown; America/Chicago applies",
        f"warning: store {B}: the timezone 'america/denver' is unknown; America/Chicago applies",
        f"warning: store {A}: 2 rows of its hours open nothing: their start is their end",
    ]


def test_a_store_without_a_good_row_of_hours_has_a_warning(tmp_path: Path) -> None:
    store_rows = StoreRows()
    add_hours(store_rows, tmp_path / "1.csv", f"{A},0,9 am,17:00", f"{B},7,09:00,17:00", "me,0,1,2")
    add_hours(store_rows, tmp_path / "2.csv", f"{A},Monday,9,5", f"{B},0,09:00,17:00")
    assert store_rows.without_hours() == {A: 2}, "a store with one good row has hours"
    assert list(store_row_warnings(store_rows, "America/Chicago")) == [
        f"warning: store {A}: every row of its hours is rejected (2); its earlier hours "
        "apply, and if it has none it counts as open 24/7"
    ]


def test_the_number_of_warnings_is_limited() -> None:
    store_rows = StoreRows()
    for number in range(25):
        store_rows.timezones[f"{number:08}-1111-4222-8333-444444444444"] = "Mars/Phobos"
    warnings = list(store_row_warnings(store_rows, "America/Chicago"))
    assert len(warnings) == 21
    assert warnings[-1] == "warning: ... and 5 more stores with unknown timezones"
