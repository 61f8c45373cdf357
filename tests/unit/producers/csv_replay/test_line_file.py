from __future__ import annotations

import base64
import bz2
import gzip
import io
import lzma
import os
import tarfile
import threading
import zipfile
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from producers.csv_replay import line_file as lines
from producers.csv_replay.line_file import LineFile
from stream_app.errors import StoreUptimeError

if TYPE_CHECKING:
    from pathlib import Path


def read(path: Path, chunk_bytes: int) -> list[tuple[int, bytes]]:
    file = LineFile(path)
    with patch.object(lines, "CHUNK_BYTES", chunk_bytes):
        chunks = [(chunk.first_line, chunk.data) for chunk in file.chunks()]
    file.close()
    return chunks


@pytest.mark.parametrize("chunk_bytes", [1, 2, 3, 5, 1000])
@pytest.mark.parametrize("content", [b"", b"\n", b"a", b"a\n", b"a\nbb\n\nccc", b"\n\n\na\r\nb\n"])
@pytest.mark.parametrize("name", ["plain.csv", "packed.csv.gz", "packed_under_a_plain_name.csv"])
def test_chunks_are_whole_lines_with_their_numbers(
    tmp_path: Path, content: bytes, chunk_bytes: int, name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if "packed" in name else content)
    chunks = read(path, chunk_bytes)
    assert b"".join(data for _, data in chunks) == content
    line = 1
    for first_line, data in chunks:
        assert first_line == line
        assert data.endswith(b"\n") or data == chunks[-1][1]
        line += data.count(b"\n")


def test_no_more_than_the_beginning_of_an_overlong_line_is_held(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    path.write_bytes(b"a\n" + b"x" * 300_000 + b"\nb\n" + b"y" * 200_000)
    chunks = read(path, 1000)
    assert [(line, data[:1]) for line, data in chunks] == [
        (1, b"a"),
        (2, b"x"),
        (3, b"b"),
        (4, b"y"),
    ]
    assert max(len(data) for _, data in chunks) == lines.MAX_LINE_BYTES + 3


def test_a_pipe_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(b"a\nb\n",))
    writer.start()
    assert read(path, 1000) == [(1, b"a\nb\n")]
    writer.join()


def test_a_missing_file_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StoreUptimeError, match=r"none\.csv: cannot be read: No such file"):
        LineFile(tmp_path / "none.csv")


def test_a_folder_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StoreUptimeError, match="cannot be read: Is a directory"):
        LineFile(tmp_path)


def test_a_file_named_gz_that_is_no_gzip_file_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "polls.csv.gz"
    path.write_bytes(b"store_id\n")
    with pytest.raises(StoreUptimeError, match=r"named \.gz, but not a gzip file"):
        LineFile(path)


@pytest.mark.parametrize(
    "damage", [lambda packed: packed[:-20], lambda packed: packed[:100] + b"?" * 50]
)
def test_a_damaged_gzip_file_is_one_clear_error(tmp_path: Path, damage: object) -> None:
    path = tmp_path / "polls.csv.gz"
    path.write_bytes(damage(gzip.compress(os.urandom(5000).hex().encode())))  # type: ignore[operator]
    with pytest.raises(StoreUptimeError, match=r"polls\.csv\.gz: a damaged gzip file: "):
        read(path, 1000)


def test_the_position_runs_from_nothing_to_the_size(tmp_path: Path) -> None:
    path = tmp_path / "polls.csv.gz"
    path.write_bytes(gzip.compress(base64.encodebytes(os.urandom(500_000))))
    file = LineFile(path)
    with patch.object(lines, "CHUNK_BYTES", 1000):
        positions = [file.position() for _ in file.chunks()]
    assert positions[0] < file.size / 2
    assert positions == sorted(positions)
    assert positions[-1] == file.size == path.stat().st_size
    file.close()


HEADER = "store_id,status,timestamp_utc\nU,active,2023-01-22 12:09:39 UTC\n"


def zipped(*names: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in names:
            archive.writestr(name, HEADER)
    return packed.getvalue()


def tarred() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo("store_status.csv")
        entry.size = len(HEADER)
        archive.addfile(entry, io.BytesIO(HEADER.encode()))
    return packed.getvalue()


NO_CSV = [
    (zipped("store_status.csv"), "a zip archive: unpack it"),
    (zipped("[Content_Types].xml", "xl/workbook.xml"), "a spreadsheet"),
    (bz2.compress(HEADER.encode()), "packed by bzip2: unpack it"),
    (lzma.compress(HEADER.encode()), "packed by xz: unpack it"),
    (b"\x28\xb5\x2f\xfd\x24\x00", "packed by zstd: unpack it"),
    (tarred(), "a tar archive: unpack it"),
    (b"PAR1\x15\x04\x15", "Parquet, not CSV"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel workbook"),
    (b'\n[{"store_id": 1}]', "JSON, not CSV"),
    (b'{"store_id": "U"}\n{}\n', "JSON, not CSV"),
    (b"\xef\xbb\xbf{}", "JSON, not CSV"),
    (b"<!DOCTYPE html><html>", "HTML or XML, not CSV"),
    (HEADER.encode("utf-16"), "UTF-16; save it as UTF-8"),
    (HEADER.encode("utf-16-be"), "UTF-16 or UTF-32; save it as UTF-8"),
    (HEADER.encode("utf-32"), "UTF-32; save it as UTF-8"),
    (HEADER.replace("\n", "\r").encode(), "lone carriage return"),
    (b'"store_id","status"\r"U","active"\r', "lone carriage return"),
    (b"\x00\x01\x02store_id", "binary, not CSV"),
]


@pytest.mark.parametrize(("content", "reason"), NO_CSV)
@pytest.mark.parametrize("packed", [False, True])
def test_the_error_for_a_file_that_is_no_csv_names_its_format(
    tmp_path: Path, content: bytes, reason: str, *, packed: bool
) -> None:
    path = tmp_path / "polls.csv"
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(StoreUptimeError, match=reason) as raised:
        read(path, 1 << 20)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "content",
    [b"ORC_ID,store_id\n1,2\n", b"PAR1,store_id\n", b'"a\rb",store_id\n', b"\r\n\r\na,b\r\n"],
)
def test_a_file_that_may_be_csv_is_read(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "polls.csv"
    path.write_bytes(content)
    assert b"".join(data for _, data in read(path, 1 << 20)) == content


@pytest.mark.parametrize("blank", [b"\n", b"\r\n", b" \t\n"])
def test_many_blank_lines_are_not_passed_on(tmp_path: Path, blank: bytes) -> None:
    """A hundred megabytes of blank lines are a hundred kilobytes of gzip."""
    count = 20_000_000 // len(blank)
    path = tmp_path / "polls.csv.gz"
    path.write_bytes(gzip.compress(b"a\n" + blank * count + b"b\n", 1))
    chunks = read(path, lines.CHUNK_BYTES)
    last_line, last = chunks[-1]
    assert last_line + last.count(b"\n") == count + 3, "lines keep their numbers"
    assert sum(data.count(b"\n") for _, data in chunks) < 3 * lines.MAX_CHUNK_LINES


def test_a_chunk_has_no_more_lines_than_its_reader_can_hold(tmp_path: Path) -> None:
    path = tmp_path / "polls.csv"
    content = b",\n" * 300_000 + b"x" * 1000 + b"\n"
    path.write_bytes(content)
    chunks = read(path, lines.CHUNK_BYTES)
    assert b"".join(data for _, data in chunks) == content
    assert max(data.count(b"\n") for _, data in chunks) <= lines.MAX_CHUNK_LINES
    line = 1
    for first_line, data in chunks:
        assert first_line == line
        line += data.count(b"\n")


def test_a_name_with_a_line_break_stays_on_one_line(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"a\nb\x1b[31m\xff.csv")
    with pytest.raises(StoreUptimeError) as raised:
        LineFile(path)
    assert str(raised.value).endswith(
        r"a\nb\x1b[31m\udcff.csv: cannot be read: No such file or directory"
    )
