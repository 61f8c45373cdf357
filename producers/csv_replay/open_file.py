"""Opens a CSV file and yields chunks in which each row is on one line.

Polars splits chunks of polls into columns, because its row i is line i of the chunk. PyArrow's
reader stops at a bad value, and reports only rows with a wrong number of columns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from producers.csv_replay.header import columns_text, read_header
from producers.csv_replay.line_file import MAX_LINE_BYTES, Chunk, LineFile
from producers.csv_replay.quoted_lines import join_rows
from producers.csv_replay.table import RejectedRow
from stream_app.errors import StoreUptimeError

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator
    from pathlib import Path

    from producers.csv_replay.table import Columns, Kind


class Table:
    """An open CSV file of one kind, its header read.

    Args:
        path: the file.
        kind: the kind of its rows.
        stop: ends a read that waits for input, with an error.

    Attributes:
        name: the path of the file on one line.
        columns: the positions of the values; None for a file without any line.

    Raises:
        StoreUptimeError: the file is unreadable, or its header lacks a column.
    """

    def __init__(self, path: Path, kind: Kind, stop: threading.Event | None = None) -> None:
        self.kind = kind
        self.file = LineFile(path, stop)
        self.name = self.file.name
        self.columns: Columns | None = None
        self._chunks = self.file.chunks()
        self._first: Chunk | None = None
        self._joined: dict[int, bytes] = {}
        try:
            header = read_header(self._chunks)
            if header is not None:
                self.columns = header.columns(kind, self.name)
                self._first = header.rest
        except StoreUptimeError:
            self.file.close()
            raise

    def chunks(self) -> Iterator[Chunk]:
        """Yield the lines after the header, once; each row stands on one line.

        A row with line breaks in quoted fields is joined on its first line and its other lines are
        blank, so that each row has the number of its first line.

        Raises:
            StoreUptimeError: the file cannot be read to its end.
        """
        incomplete = Chunk(0, b"")
        for chunk in self._plain_chunks():
            if (
                incomplete.data
                and incomplete.first_line + incomplete.data.count(b"\n") != chunk.first_line
            ):
                # blank lines between the two chunks were skipped
                yield self._joined_rows(incomplete, last=True)[0]
                incomplete = Chunk(chunk.first_line, b"")
            if incomplete.data:
                chunk = Chunk(incomplete.first_line, incomplete.data + chunk.data)  # noqa: PLW2901  one chunk
            rows, incomplete = self._joined_rows(chunk, last=False)
            if rows.data:
                yield rows
        if incomplete.data:
            yield self._joined_rows(incomplete, last=True)[0]

    def _joined_rows(self, chunk: Chunk, *, last: bool) -> tuple[Chunk, Chunk]:
        """Return the whole rows of a chunk, and the lines of a row that may go on behind it."""
        columns = self.columns
        if columns is None or b'"' not in chunk.data:
            self._joined = {}
            return chunk, Chunk(0, b"")
        rows = join_rows(chunk.data, columns.count, columns.positions, last=last)
        line = chunk.first_line
        self._joined = {line + index: row for index, row in rows.joined.items()}
        return Chunk(line, rows.data), Chunk(line + rows.data.count(b"\n"), rows.rest)

    def _plain_chunks(self) -> Iterator[Chunk]:
        if self._first is not None and self._first.data:
            yield self._first
        self._first = None
        yield from self._chunks

    def rejected_row(self, line: int, reason: str, original: bytes) -> RejectedRow:
        """Make the rejected row for a line of the chunk that was yielded last."""
        row = self._joined.get(line, original).removesuffix(b"\n").removesuffix(b"\r")
        return RejectedRow(
            self.name,
            line,
            reason,
            row[:MAX_LINE_BYTES],
            self.kind.name,
            columns_text(self.columns, self.kind) if self.columns else "",
            truncated=len(row) > MAX_LINE_BYTES,
        )

    def close(self) -> None:
        """Close the file."""
        self.file.close()
