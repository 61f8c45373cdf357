from __future__ import annotations

import gzip
import os
import threading
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from producers import lines
from producers.lines import LineFile
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


def test_a_file_named_gz_that_is_none_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "polls.csv.gz"
    path.write_bytes(b"store_id\n")
    with pytest.raises(StoreUptimeError, match=r"named \.gz, but not a gzip file"):
        LineFile(path)


@pytest.mark.parametrize(
    "damage", [lambda packed: packed[:-20], lambda packed: packed[:100] + b"?" * 50]
)
def test_a_damaged_gzip_file_is_one_clear_error(tmp_path: Path, damage: object) -> None:
    path = tmp_path / "polls.csv.gz"
    path.write_bytes(damage(gzip.compress(os.urandom(5000))))  # type: ignore[operator]
    with pytest.raises(StoreUptimeError, match=r"polls\.csv\.gz: a damaged gzip file: "):
        read(path, 1000)


def test_the_position_runs_from_nothing_to_the_size(tmp_path: Path) -> None:
    path = tmp_path / "polls.csv.gz"
    path.write_bytes(gzip.compress(os.urandom(500_000)))
    file = LineFile(path)
    with patch.object(lines, "CHUNK_BYTES", 1000):
        positions = [file.position() for _ in file.chunks()]
    assert positions[0] < file.size / 2
    assert positions == sorted(positions)
    assert positions[-1] == file.size == path.stat().st_size
    file.close()
