from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from producers.csv_replay.header import columns_text, find_columns, kinds_of
from producers.csv_replay.line_file import MAX_LINE_BYTES
from producers.csv_replay.open_file import Table
from producers.csv_replay.table import (
    HOURS,
    POLLS,
    ZONES,
    Columns,
    Kind,
    RejectedRow,
    pick_values,
    split_line,
)
from stream_app.errors import RecordError, StoreUptimeError

if TYPE_CHECKING:
    from pathlib import Path


def open_table(folder: Path, content: bytes, kind: Kind = POLLS) -> Table:
    path = folder / "input.csv"
    path.write_bytes(content)
    table = Table(path, kind)
    table.close()
    return table


@pytest.mark.parametrize(
    ("kind", "header", "positions"),
    [
        (POLLS, "store_id,status,timestamp_utc", (0, 1, 2)),
        (POLLS, " timestamp_utc , Store_ID,STATUS\r\n", (1, 2, 0)),
        (POLLS, "sep=,\nstore_id,status,timestamp_utc", (0, 1, 2)),
        (POLLS, "\ufeffstore_id,note,status,timestamp_utc,note\n", (0, 2, 3)),
        (POLLS, '\n \n"store id","status","timestamp utc"', (0, 1, 2)),
        (HOURS, "store_id,dayOfWeek,start_time_local,end_time_local", (0, 1, 2, 3)),
        (HOURS, "store_id,start_time_local,end_time_local,day", (0, 3, 1, 2)),
        (ZONES, "timezone_str,store_id", (1, 0)),
    ],
)
def test_columns_are_found_in_any_order(
    tmp_path: Path, kind: Kind, header: str, positions: tuple[int, ...]
) -> None:
    columns = open_table(tmp_path, header.encode(), kind).columns
    assert columns is not None
    assert columns.positions == positions
    # a dead letter has the columns in this form
    names = columns_text(columns, kind).split(",")
    assert find_columns(names, kind, "its header") == columns


def test_a_rejected_row_has_the_columns_to_read_it(tmp_path: Path) -> None:
    path = tmp_path / "hours.csv"
    path.write_text("start_time_local,note,store_id,end_time_local,day\n", encoding="utf-8")
    table = Table(path, HOURS)
    table.close()
    row = table.rejected_row(7, "why", b"x" * (MAX_LINE_BYTES + 1) + b"\r\n")
    assert row == RejectedRow(
        str(path),
        7,
        "why",
        b"x" * MAX_LINE_BYTES,
        "hours",
        "start_time_local,,store_id,end_time_local,dayOfWeek",
        truncated=True,
    )
    assert not table.rejected_row(7, "why", b"x" * MAX_LINE_BYTES + b"\r\n").truncated


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"store_id,state,at\n1,2,3\n", r"input.csv: no column status, timestamp_utc for polls"),
        (b"status,status,store_id,timestamp_utc", "more than one column status"),
        (b'"store_id";"status";"timestamp_utc"', "columns are separated by ';': save it with comm"),
        (b"store_id\tstatus\ttimestamp_utc", "columns are separated by tabs"),
        (b"store_id|status|timestamp_utc", r"columns are separated by '\|'"),
        (b"sep=;\nstore_id;status;timestamp_utc", "columns are separated by ';'"),
        (
            b"0a0a0a0a-1111-4222-8333-444444444444,active,2023-01-22 12:09:39 UTC\n",
            "input.csv:1: a row where the header should be: put store_id,status,timestamp_utc abov",
        ),
        (
            b'"store_id","status","no\nte","timestamp_utc"',
            "a quoted field does not end in its line",
        ),
        ("store_id,status,timestamp_utc".encode("utf-16"), "UTF-16; save it as UTF-8"),
        (b"\n\xffstore_id,status", r"input.csv:2: no header of a CSV: not UTF-8"),
        (b"x" * 70_000, "input.csv:1: no header of a CSV: longer than"),
    ],
)
def test_a_wrong_header_is_one_clear_error(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(StoreUptimeError, match=message) as raised:
        open_table(tmp_path, content)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "content", [b"", b"\n\n", b"\xef\xbb\xbf", b"store_id,status,timestamp_utc"]
)
def test_no_rows_are_no_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "input.csv"
    path.write_bytes(content)
    table = Table(path, POLLS)
    assert list(table.chunks()) == []
    table.close()


def test_rows_are_numbered_from_the_top_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "input.csv"
    path.write_bytes(b"\n\nstore_id,status,timestamp_utc\nfirst\n")
    table = Table(path, POLLS)
    (chunk,) = table.chunks()
    assert (chunk.first_line, chunk.data) == (4, b"first\n")
    table.close()


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        (b"a,b\n", ["a", "b"]),
        (b"a,b\r\n", ["a", "b"]),
        (b'"a,""b""", "c"', ['a,"b"', "c"]),
        (b",,", ["", "", ""]),
        (b" \t\r\n", []),
        (b"", []),
    ],
)
def test_a_line_is_split_into_its_fields(line: bytes, fields: list[str]) -> None:
    assert split_line(line) == fields


@pytest.mark.parametrize("line", [b'"a', b'"a" b,c', b'a,"b"c"'])
def test_quotes_that_do_not_match_are_rejected(line: bytes) -> None:
    with pytest.raises(RecordError, match="quotes: "):
        split_line(line)


def test_only_the_values_of_a_row_need_to_be_utf8() -> None:
    columns = Columns(4, (0, 1, 3))
    assert pick_values(b"a,b,Caf\xe9,c", columns) == ["a", "b", "c"]
    with pytest.raises(RecordError, match="not UTF-8: byte 0xe9 in column 2"):
        pick_values("a,\u00fcb".encode() + b"\xe9,x,c", columns)


def test_the_error_for_nul_bytes_names_a_possible_cause() -> None:
    with pytest.raises(RecordError, match="NUL bytes: was the file written to its end"):
        split_line(b"\0" * 5000)


@pytest.mark.parametrize(
    ("header", "kinds"),
    [
        ("store_id,status,timestamp_utc", [POLLS]),
        ("day,store_id,start_time_local,end_time_local", [HOURS]),
        ("store_id,timezone_str", [ZONES]),
        ("store_id,status,timestamp_utc,timezone_str", [POLLS, ZONES]),
        ("store_id,price", []),
        ("store_id;price", []),
        ("", []),
    ],
)
def test_the_kind_of_a_file_follows_from_its_header(
    tmp_path: Path, header: str, kinds: list[Kind]
) -> None:
    path = tmp_path / "any.csv"
    path.write_text(header, encoding="utf-8")
    assert kinds_of(path) == kinds


def test_a_header_of_a_kind_with_another_separator_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "any.csv"
    path.write_text("store_id;timezone_str", encoding="utf-8")
    with pytest.raises(StoreUptimeError, match="separated by ';'"):
        kinds_of(path)
