"""The fast reader of poll files gives the same result as the exact one, row by row."""

from __future__ import annotations

import gzip
import itertools
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from producers.csv_replay import line_file as lines
from producers.csv_replay import poll_rows
from producers.csv_replay.header import columns_text
from producers.csv_replay.open_file import Table
from producers.csv_replay.poll_rows import (
    PollChunk,
    StoreNumbers,
    parse_poll_chunk,
    parse_poll_line,
    read_polls,
)
from producers.csv_replay.quoted_lines import join_rows
from producers.csv_replay.table import POLLS, RejectedRow
from stream_app.domain.timestamps import parse_instant
from stream_app.errors import RecordError, StoreUptimeError

if TYPE_CHECKING:
    import polars as pl

    from producers.csv_replay.line_file import Chunk

A = "0a0a0a0a-1111-4222-8333-444444444444"
B = "ffffffff-1111-4222-8333-444444444444"
LATEST = parse_instant("2023-02-01 00:00:00 UTC")

Poll = tuple[str, int, bool]


def read_fast(path: Path, chunk_bytes: int = 2 << 20) -> tuple[list[Poll], list[RejectedRow]]:
    stores = StoreNumbers()
    polls: list[Poll] = []
    rejected: list[RejectedRow] = []
    with patch.object(lines, "CHUNK_BYTES", chunk_bytes):
        table = Table(path, POLLS)
        for chunk in read_polls(table, stores, lambda: LATEST):
            polls += [(stores.ids[number], at, up) for number, at, up in chunk.accepted.iter_rows()]
            rejected += chunk.rejected
    table.close()
    return polls, rejected


def read_exactly(path: Path) -> tuple[list[Poll], list[RejectedRow]]:
    """Read row by row, as the rules of the format say: the reference for the fast reader."""
    table = Table(path, POLLS)
    assert table.columns is not None
    stores = StoreNumbers()
    polls: list[Poll] = []
    rejected: list[RejectedRow] = []
    content = path.read_bytes()
    joined = join_rows(content, table.columns.count, table.columns.positions, last=True)
    table.close()
    for number, line in enumerate(joined.data.split(b"\n")[1:], 2):
        try:
            poll = parse_poll_line(line, table.columns, stores, LATEST)
        except RecordError as error:
            row = joined.joined.get(number - 1, line).removesuffix(b"\r")
            rejected.append(
                RejectedRow(
                    str(path),
                    number,
                    str(error),
                    row[: lines.MAX_LINE_BYTES],
                    "polls",
                    columns_text(table.columns, POLLS),
                    truncated=len(row) > lines.MAX_LINE_BYTES,
                )
            )
            continue
        if poll is not None:
            polls.append((stores.ids[poll[0]], poll[1], poll[2]))
    return polls, rejected


def poll_file(
    folder: Path, *rows: str | bytes, header: str = "store_id,status,timestamp_utc"
) -> Path:
    path = folder / "polls.csv"
    encoded = [row if isinstance(row, bytes) else row.encode() for row in (header, *rows)]
    path.write_bytes(b"\n".join(encoded))
    return path


good_times = [
    "2023-01-22 12:09:39.388884 UTC",
    "2023-01-22 12:09:39.5 UTC",
    "2023-01-22 12:09:39 UTC",
    "2023-01-22 12:09:39",
    "2023-01-22T12:09:39Z",
    "2023-01-22T12:09:39.123456Z",
    "2023-01-22 12:09:39+00:00",
    "2023-01-22T12:09:39.25+00:00",
    " 2023-01-22 12:09:39 utc ",
    "2023-01-22T12:09:39+05:30",
    "2023-01-22T12:09",
    "20230122T120939Z",
    "2023-01-22T12:09:39.1234567",
    "2023-01-22 12:09:39,5",
    "2024-02-29 00:00:00 UTC",
    "1970-01-01 00:00:00 UTC",
    "2023-02-01 00:00:00 UTC",
]
bad_times = [
    "",
    "UTC",
    "2023-02-29 00:00:00 UTC",
    "2023-01-22 24:00:00 UTC",
    "2023-01-22 12:60:00 UTC",
    "2023-01-22 12:09:60 UTC",
    "2023-13-22 12:09:39 UTC",
    "2023-1-22 12:09:39 UTC",
    "2023-01-22 12:09:39. UTC",
    "2023-01-22 12:09:39+00:00 UTC",
    "2023-01-22 12:09:39+00:00+00:00",
    "2023-01-22 12:09:39.5ZUTC",
    "2023-01-22 12:09:39Z UTC",
    "2023-01-22 12:09:39 PST",
    "2023-02-01 00:00:00.000001 UTC",
    "1969-12-31 23:59:59 UTC",
    "2100-01-01 00:00:00 UTC",
    "9999-12-31 23:59:59 UTC",
    "\u0662023-01-22 12:09:39 UTC",
    "2023-01-22 1\u0662:09:39 UTC",
    "1674389379",
]
ids = [A, A.upper(), f" {B}\t", B.replace("-", ""), B[:-1], "8419537941919820732", "", f"{{{A}}}"]
statuses = ["active", "inactive", "ACTIVE", " Inactive ", "act\u0130ve", "up", "", "1", "null"]


def quoted(field: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        field,
        field.map(lambda text: f'"{text}"'),
        field.map(lambda text: f' "{text}"'),
        field.map(lambda text: f'"{text}" '),
        field.map(lambda text: f'{text}"'),
        field.map(lambda text: f'"{text}'),
        field.map(lambda text: f'"{text}""'),
        field.map(lambda text: f'"{text},"'),
    )


GOOD = (A, "active", good_times[0])
CHOICES = (ids, statuses, good_times + bad_times)

junk = st.text(st.sampled_from('",\r \t\x0b\x1c\x85\u2028\ufffd0aZ'), max_size=8)


@st.composite
def rows_with_one_odd_field(draw: st.DrawFn) -> str:
    fields = list(GOOD)
    position = draw(st.integers(0, 2))
    fields[position] = draw(quoted(st.sampled_from(CHOICES[position])))
    return ",".join(fields)


messy_rows = st.one_of(
    rows_with_one_odd_field(),
    rows_with_one_odd_field(),
    st.tuples(*[quoted(st.sampled_from(values)) for values in CHOICES]).map(",".join),
    st.lists(st.one_of(junk, st.sampled_from([*ids, *statuses])), max_size=5).map(",".join),
    junk,
    st.datetimes().map(lambda moment: f"{A},active,{moment.isoformat(' ')} UTC"),
).map(str.encode)
rows = st.tuples(
    st.one_of(messy_rows, messy_rows.map(lambda row: row + b"\xff"), st.binary(max_size=6)),
    st.sampled_from([b"", b"", b"\r", b"\r\r", b" "]),
).map(b"".join)


@given(rows=st.lists(rows, max_size=12), chunk_bytes=st.sampled_from([1, 50, 2 << 20]))
@example(rows=[f"{A},active,{good_times[0]}".encode()], chunk_bytes=1)
@example(rows=[b"", b"\r", b" ", f"{A},active,{good_times[0]}\r".encode(), b""], chunk_bytes=50)
@example(rows=[f'"{A}\r",active,{good_times[0]}'.encode()], chunk_bytes=50)
@example(rows=[f'{A},active,{good_times[0]},"5" pipe"'.encode()], chunk_bytes=50)
@settings(max_examples=400)
def test_reads_what_the_exact_reader_reads(rows: list[bytes], chunk_bytes: int) -> None:
    with TemporaryDirectory() as folder:
        path = poll_file(Path(folder), *rows)
        polls, rejected = read_fast(path, chunk_bytes)
        exact_polls, exact_rejected = read_exactly(path)
    assert sorted(polls) == sorted(exact_polls)
    assert rejected == exact_rejected


@given(
    rows=st.lists(rows, max_size=8),
    header=st.sampled_from(
        ["timestamp_utc,note,STATUS,store_id,", ' "Store_ID", timestamp_utc ,x,Status,y\r']
    ),
)
@settings(max_examples=200)
def test_reads_any_column_order_as_the_exact_reader_does(rows: list[bytes], header: str) -> None:
    with TemporaryDirectory() as folder:
        wide = [
            b",".join([*reversed(row.split(b",")), b"x" * (number % 2)])
            for number, row in enumerate(rows)
        ]
        path = poll_file(Path(folder), *wide, header=header)
        results = read_fast(path), read_exactly(path)
    (polls, rejected), (exact_polls, exact_rejected) = results
    assert sorted(polls) == sorted(exact_polls)
    assert rejected == exact_rejected


def test_reads_each_oddity_as_the_exact_reader_does(tmp_path: Path) -> None:
    """Each odd field and each odd end of a row stands once in an otherwise good row."""
    odd_rows = [
        ",".join([*GOOD[:position], value, *GOOD[position + 1 :], ignored]).encode()
        for position, values in enumerate(CHOICES)
        for value in [form for text in values for form in (text, f'"{text}"', f' "{text}"')]
        for ignored in ("", '"x"')
    ]
    good = ",".join(GOOD).encode()
    ignored_fields = [
        b"\xff",
        "\ufffd".encode(),
        b'"5" pipe"',
        b'5" pipe',
        b'"5"" pipe"',
        b'"a,b"',
        b'"a\r"',
        b'"a"\r',
        b"a\rb",
        b"x" * (lines.MAX_LINE_BYTES - len(good) - 1),
        b"x" * (lines.MAX_LINE_BYTES - len(good) - 1) + b"\r",
        b"x" * (lines.MAX_LINE_BYTES - len(good)),
        b",",
    ]
    odd_rows += [good + b"," + field for field in ignored_fields]
    odd_rows += [
        f'"{A}\r",active,{good_times[0]},'.encode(),
        f'{A}\r,"active",{good_times[0]},'.encode(),
    ]
    path = tmp_path / "polls.csv"
    for row in odd_rows:
        path.write_bytes(b"store_id,status,timestamp_utc,note\n" + row)
        polls, rejected = read_fast(path)
        assert (polls, rejected) == read_exactly(path), row
    path.write_bytes(b"\r\n".join([b"store_id,status,timestamp_utc,note", *odd_rows]))
    polls, rejected = read_fast(path)
    exact_polls, exact_rejected = read_exactly(path)
    assert sorted(polls) == sorted(exact_polls)
    assert rejected == exact_rejected


@pytest.mark.parametrize("time", good_times[:-3])
@pytest.mark.parametrize("status", ["active", "ACTIVE", " active"])
def test_accepts_all_forms_that_the_semantics_allow(tmp_path: Path, time: str, status: str) -> None:
    if "," in time:
        time = f'"{time}"'
    polls, rejected = read_fast(poll_file(tmp_path, f"{A.upper()},{status},{time}"))
    assert rejected == []
    assert polls == [(A, parse_instant(time.strip('"')), True)]


def test_a_bad_row_is_rejected_with_its_line_and_its_bytes_and_the_others_arrive(
    tmp_path: Path,
) -> None:
    time = good_times[0]
    path = poll_file(
        tmp_path,
        f"{A},active,{time}",
        "",
        f"{A},active",
        f"{A},active,{time},more",
        b"\xff\xfe,active," + time.encode(),
        f"nobody,active,{time}\r",
        f"{A},asleep,{time}",
        f'"{A},active,{time}',
        f"{A},active,soon",
        f"{A},active,2023-02-01 00:00:00.000001 UTC",
        f"{B},inactive,{time}",
    )
    polls, rejected = read_fast(path)
    assert [store for store, _, _ in polls] == [A, B]
    assert {row.file for row in rejected} == {str(path)}
    assert [(row.line, row.reason) for row in rejected] == [
        (4, "2 columns where the header has 3"),
        (5, "4 columns where the header has 3"),
        (6, "not UTF-8: byte 0xff in column 1"),
        (7, "store_id is not a UUID: 'nobody'"),
        (8, "status is neither active nor inactive: 'asleep'"),
        (9, "quotes: a quoted field does not end in its line"),
        (10, "not a time: 'soon'"),
        (11, "in the future: 2023-02-01T00:00:00.000001Z"),
    ]
    assert rejected[2].original == b"\xff\xfe,active," + time.encode()
    assert rejected[3].original == f"nobody,active,{time}".encode()


def test_plain_rows_are_not_read_by_the_exact_reader(tmp_path: Path) -> None:
    plain = [
        f"{store},{status},{time}"
        for store in (A, A.upper(), B, f'"{B}"')
        for status in ("active", "Inactive")
        for time in good_times[:8]
    ]
    # empty lines are not either
    path = poll_file(tmp_path, *[line for row in plain for line in (row, "", "")])
    with patch("producers.csv_replay.poll_rows.parse_poll_line", side_effect=AssertionError):
        polls, rejected = read_fast(path)
    assert len(polls) == len(plain)
    assert rejected == []


@given(
    edits=st.lists(
        st.tuples(
            st.integers(0, len(",".join(GOOD))),
            st.sampled_from([0, 1, 1]),
            st.sampled_from(["", *'0129 -+:.,TZUCutaAgG"\t\r\n\0', "\u0660", "\x85", "\xa0"]),
        ),
        max_size=2,
    ),
    rows_before=st.integers(0, 2),
    end=st.sampled_from(["", "\n", "\r\n", "\n\n"]),
)
@settings(max_examples=1000)
def test_a_usual_row_with_a_character_changed_is_read_as_the_exact_reader_does(
    edits: list[tuple[int, int, str]], rows_before: int, end: str
) -> None:
    row = ",".join(GOOD)
    for position, deleted, inserted in edits:
        row = row[:position] + inserted + row[position + deleted :]
    line_end = "\r\n" if end == "\r\n" else "\n"
    text = line_end.join(["store_id,status,timestamp_utc", *[",".join(GOOD)] * rows_before, row])
    with TemporaryDirectory() as folder:
        path = Path(folder) / "polls.csv"
        path.write_bytes((text + end).encode())
        polls, rejected = read_fast(path)
        exact_polls, exact_rejected = read_exactly(path)
    assert sorted(polls) == sorted(exact_polls)
    assert rejected == exact_rejected


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("status", ["active", "inactive", "ACTIVE"])
def test_rows_as_programs_write_them_take_the_fastest_way(
    tmp_path: Path, status: str, end: str
) -> None:
    usual = [f"{store},{status},{time}" for store in (A, B, B.upper()) for time in good_times[:8]]
    path = tmp_path / "polls.csv"
    path.write_text(end.join(["store_id,status,timestamp_utc", *usual, ""]), newline="")
    with patch("producers.csv_replay.poll_rows._parse_plain_rows", side_effect=AssertionError):
        polls, rejected = read_fast(path)
    assert polls == [
        (store, parse_instant(time), status.lower() == "active")
        for store in (A, B, B)
        for time in good_times[:8]
    ]
    assert rejected == []


def test_an_overlong_row_is_rejected_and_the_next_ones_keep_their_lines(tmp_path: Path) -> None:
    good = f"{A},active,{good_times[0]}"
    long = good + "," + "x" * lines.MAX_LINE_BYTES
    path = poll_file(
        tmp_path, good, long, good, long, "bad", header="store_id,status,timestamp_utc"
    )
    for chunk_bytes in (1000, 2 << 20):
        polls, rejected = read_fast(path, chunk_bytes)
        assert len(polls) == 2
        assert [(row.line, row.reason) for row in rejected] == [
            (3, "longer than 65,536 bytes"),
            (5, "longer than 65,536 bytes"),
            (6, "1 columns where the header has 3"),
        ]
        assert all(len(row.original) <= lines.MAX_LINE_BYTES for row in rejected)


def rows_of(stores: list[str], rows: int) -> str:
    return "".join(
        f"{stores[row % len(stores)]},active,2023-01-01 00:00:{row:02}.000000 UTC\n"
        for row in range(rows)
    )


def test_two_chunks_are_parsed_at_the_same_time_and_come_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "polls.csv"
    path.write_text("store_id,status,timestamp_utc\n" + rows_of([A], 60))
    # each of the first two calls waits until the other one runs
    together = threading.Barrier(2, timeout=60)
    calls = itertools.count()

    def parse(chunk: Chunk, *arguments: Any) -> PollChunk:
        if next(calls) < 2:
            together.wait()
        return parse_poll_chunk(chunk, *arguments)

    with patch.object(poll_rows, "parse_poll_chunk", parse):
        polls, rejected = read_fast(path, 1000)
    assert polls == read_exactly(path)[0]
    assert rejected == []


def test_a_store_that_two_threads_see_first_has_one_number(tmp_path: Path) -> None:
    path = tmp_path / "polls.csv"
    path.write_text("store_id,status,timestamp_utc\n" + rows_of([A, B], 40))
    # both threads have found that a store is unknown before either gives it a number
    together = threading.Barrier(2, timeout=60)
    calls = itertools.count()

    class Numbers(StoreNumbers):
        def _look_up(self, texts: pl.Series) -> pl.Series:
            numbers = super()._look_up(texts)
            if next(calls) < 2:
                together.wait()
            return numbers

    with patch.object(sys.modules[__name__], "StoreNumbers", Numbers):
        polls, _ = read_fast(path, 1500)
    assert polls == read_exactly(path)[0]


def test_the_chunks_before_a_damage_are_yielded_before_its_error(tmp_path: Path) -> None:
    path = tmp_path / "polls.csv.gz"
    random = Random(1)
    content = "store_id,status,timestamp_utc\n" + "".join(
        f"{A},active,2023-01-01 00:00:00.{random.randrange(10**6):06} UTC\n" for _ in range(20_000)
    )
    path.write_bytes(gzip.compress(content.encode())[:-8])
    accepted: list[int] = []

    def read() -> None:
        table = Table(path, POLLS)
        chunks = read_polls(table, StoreNumbers(), lambda: LATEST)
        accepted.extend(chunk.accepted.height for chunk in chunks)

    with patch.object(lines, "CHUNK_BYTES", 50_000), pytest.raises(StoreUptimeError, match="gzip"):
        read()
    # the chunk in which the damage is has no rows
    assert 19_000 < sum(accepted) < 20_000


def test_a_chunk_of_a_pipe_does_not_wait_for_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    header, rows = "store_id,status,timestamp_utc\n", rows_of([A], 20)
    first_seen = threading.Event()

    def write() -> None:
        with path.open("w") as pipe:
            pipe.write(header + rows)
            pipe.flush()
            # the writer stays silent until the first chunk has come
            assert first_seen.wait(60)

    with ThreadPoolExecutor(1) as pool, patch.object(lines, "CHUNK_BYTES", 200):
        writing = pool.submit(write)
        table = Table(path, POLLS)
        chunks = read_polls(table, StoreNumbers(), lambda: LATEST)
        accepted = next(chunks).accepted.height
        first_seen.set()
        accepted += sum(chunk.accepted.height for chunk in chunks)
        writing.result()
        table.close()
    assert accepted == 20
