"""An open CSV file, row by row on lines of their own.

Polars splits the chunks of a poll file into columns: it keeps row i at line i, which PyArrow's
reader does not (one bad value there ends the file, and its handler sees ragged rows only).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from producers.csv_replay.header import columns_text, read_header
from producers.csv_replay.line_file import MAX_LINE_BYTES, Chunk, LineFile
from producers.csv_replay.quoted_lines import join_rows
from producers.csv_replay.table import Refused
from stream_app.errors import StoreUptimeError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from producers.csv_replay.table import Columns, Kind


class Table:
    """An open CSV file of one kind, its header read.

    Attributes:
        name: the file as it was named, on one line.
        columns: where the values are; None for a file without any line.

    Raises:
        StoreUptimeError: unreadable, or its header lacks a column.
    """

    def __init__(self, path: Path, kind: Kind) -> None:
        self.kind = kind
        self.file = LineFile(path)
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
        """The lines after the header, once; a row stands on one line, however many it had.

        A row with a line break in a quoted field is its first line, its others are blank: so each
        row keeps its number.

        Raises:
            StoreUptimeError: the file cannot be read to its end.
        """
        held = Chunk(0, b"")
        for chunk in self._plain_chunks():
            if held.data and held.first_line + held.data.count(b"\n") != chunk.first_line:
                # blank lines were left out between them
                yield self._joined_rows(held, last=True)[0]
                held = Chunk(chunk.first_line, b"")
            if held.data:
                chunk = Chunk(held.first_line, held.data + chunk.data)  # noqa: PLW2901  one chunk
            rows, held = self._joined_rows(chunk, last=False)
            if rows.data:
                yield rows
        if held.data:
            yield self._joined_rows(held, last=True)[0]

    def _joined_rows(self, chunk: Chunk, *, last: bool) -> tuple[Chunk, Chunk]:
        """Whole rows, and the lines of one that may go on behind the chunk."""
        columns = self.columns
        if columns is None:
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

    def refuse(self, line: int, reason: str, original: bytes) -> Refused:
        """The refusal of a row of the chunk that came last."""
        row = self._joined.get(line, original).removesuffix(b"\n").removesuffix(b"\r")
        return Refused(
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
