"""Rows with line breaks in quoted fields are read as Python's own reader of CSV does."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.csv_replay import line_file as lines
from producers.csv_replay.open_file import Table
from producers.csv_replay.poll_rows import StoreNumbers, read_polls
from producers.csv_replay.quoted_lines import MAX_ROW_LINES, join_rows
from producers.csv_replay.store_rows import StoreRows, read_hours
from producers.csv_replay.table import HOURS, POLLS
from producers.dead_letters.decode import decode_original
from stream_app.contracts.dead_letters import DeadLetter
from stream_app.contracts.polls import PollBatch
from stream_app.domain.timestamps import parse_instant

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from producers.csv_replay.table import RejectedRow

U = "0a0a0a0a-1111-4222-8333-444444444444"
AT = "2023-01-25T10:00:00Z"
LATEST = parse_instant("2023-02-01T00:00:00Z")
HEADER = "store_id,note,status,timestamp_utc"
GOOD = f"{U},plain,active,{AT}"


def read(path: Path, content: bytes, chunk_bytes: int = 2 << 20) -> tuple[int, list[RejectedRow]]:
    path.write_bytes(content)
    accepted = 0
    rejected: list[RejectedRow] = []
    with patch.object(lines, "CHUNK_BYTES", chunk_bytes):
        table = Table(path, POLLS)
        for chunk in read_polls(table, StoreNumbers(), lambda: LATEST):
            accepted += chunk.accepted.height
            rejected += chunk.rejected
    table.close()
    return accepted, rejected


@pytest.mark.parametrize("chunk_bytes", [1, 7, 40, 2 << 20])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    "note",
    [
        '"line1{}line2"',
        '"{}"',
        '"a""{}""b, {}{}c"',
        '"{}' + f"{GOOD}" + '{}"',
        ' "line1{}Caf\xe9"',
    ],
)
def test_a_line_break_in_an_unused_column_is_part_of_its_row(
    tmp_path: Path, note: str, end: str, chunk_bytes: int
) -> None:
    row = f"{U},{note.replace('{}', end)},active,{AT}"
    content = end.join([HEADER, GOOD, row, GOOD, "bad", ""]).encode("latin-1")
    accepted, rejected = read(tmp_path / "polls.csv", content, chunk_bytes)
    assert accepted == 3
    (bad,) = rejected
    assert (bad.line, bad.original) == (content[: content.index(b"bad")].count(b"\n") + 1, b"bad")


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_no_row_is_lost_where_a_chunk_ends_within_one(tmp_path: Path, end: str) -> None:
    """Each chunk has many rows of two lines before the row that it cuts."""
    row = f'{U},"line1{end}line2",active,{AT}'
    content = end.join([HEADER, *[row] * 2_000, ""]).encode()
    for chunk_bytes in range(5_000, 5_000 + 2 * len(row), 7):
        assert read(tmp_path / "polls.csv", content, chunk_bytes) == (2_000, [])


def test_a_bad_row_with_a_line_break_is_one_rejected_row_with_all_its_bytes(tmp_path: Path) -> None:
    row = f'{U},"line1\nline2",asleep,{AT}'
    accepted, rejected = read(tmp_path / "polls.csv", f"{HEADER}\n{GOOD}\n{row}\n{GOOD}".encode())
    assert accepted == 2
    ((line, reason, original),) = [(bad.line, bad.reason, bad.original) for bad in rejected]
    assert (line, reason) == (3, "status is neither active nor inactive: 'asleep'")
    assert original == row.encode()
    # its dead letter can be decoded again
    source: dict[str, str | int] = {
        "file": "polls.csv",
        "kind": "polls",
        "columns": rejected[0].columns,
    }
    dead_letter = DeadLetter(source, reason, original.replace(b"asleep", b"active"), None)
    fact = decode_original(dead_letter, stored_at=0, clock=LATEST, tolerance=0).content
    assert fact == PollBatch(U, [(parse_instant(AT), True)])


@pytest.mark.parametrize(
    "row",
    [
        f'"{U},active,{AT}',
        f'{U},"note,active,{AT}',
        f'{U},note,"active\n",{AT}',
        f'{U},"line1\nline2",active,{AT},more',
        f'{U},"line1\nline2" x,active,{AT}',
        f'{U},"' + "\n" * MAX_ROW_LINES + f'",active,{AT}',
        f'{U},"' + ("x" * 40_000 + "\n") * 2 + f'",active,{AT}',
    ],
)
@pytest.mark.parametrize("chunk_bytes", [100, 2 << 20])
def test_a_stray_quote_hides_no_later_row(tmp_path: Path, row: str, chunk_bytes: int) -> None:
    many = "\n".join([GOOD] * 300)
    accepted, rejected = read(
        tmp_path / "polls.csv", f"{HEADER}\n{row}\n{many}\n{row}\n{many}".encode(), chunk_bytes
    )
    assert accepted == 600
    assert rejected[0].line == 2
    assert "quote" in rejected[0].reason


def test_each_line_of_a_file_of_stray_quotes_is_read_a_bounded_number_of_times() -> None:
    read_lines = 0
    plain_reader = csv.reader

    def counted(feed: Iterable[str], **options: Any) -> Any:
        def each() -> Iterator[str]:
            nonlocal read_lines
            for line in feed:
                read_lines += 1
                yield line

        return plain_reader(each(), **options)

    data = b'a"","\n' * 20_000
    with patch("producers.csv_replay.quoted_lines.csv.reader", counted):
        rows = join_rows(data, 1_000, (0,), last=True)
    assert rows.data == data
    assert read_lines <= 20_000 * MAX_ROW_LINES


fields = st.text(st.sampled_from('a,"\n\r \xe9'), max_size=6)


@given(rows=st.lists(st.tuples(fields, fields), max_size=8))
def test_rows_of_pythons_csv_writer_read_back(rows: list[tuple[str, str]]) -> None:
    written = io.StringIO(newline="")
    csv.writer(written, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(
        ("id", *row) for row in rows
    )
    data = written.getvalue().encode()
    joined = join_rows(data, 3, (0,), last=True)
    lines_with_text = [line for line in joined.data.split(b"\n") if line]
    assert len(lines_with_text) == len(rows)
    assert joined.data.count(b"\n") == data.count(b"\n")
    at = 0
    for row in rows:
        original = joined.joined.get(at)
        text = joined.data.split(b"\n")[at] if original is None else original
        assert next(csv.reader(io.StringIO(text.decode(), newline=""))) == ["id", *row]
        at += 1 + "".join(row).count("\n")


def test_hours_may_have_line_breaks_in_other_columns_too(tmp_path: Path) -> None:
    path = tmp_path / "hours.csv"
    path.write_text(
        "store_id,day,start_time_local,end_time_local,note\n"
        f'{U},0,09:00,17:00,"two\nlines"\n{U},1,09:00,17:00,one\n',
        encoding="utf-8",
    )
    store_rows = StoreRows()
    table = Table(path, HOURS)
    chunks = list(read_hours(table, store_rows))
    table.close()
    assert [(chunk.accepted, chunk.rejected) for chunk in chunks] == [(2, [])]
