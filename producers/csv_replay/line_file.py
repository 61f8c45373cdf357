"""Files as chunks of whole lines: bounded memory whatever the file, plain or gzip."""

from __future__ import annotations

import gzip
import io
import os
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from producers.csv_replay.file_format import HEAD_BYTES, printed, why_no_csv
from stream_app.errors import StoreUptimeError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

CHUNK_BYTES: Final = 2 << 20
"""Bytes of one read; a chunk is at most this and one line longer."""

MAX_LINE_BYTES: Final = 64 << 10
"""Longer lines are refused; no more of one is ever held."""

MAX_CHUNK_LINES: Final = 64 << 10
"""A chunk of more lines is cut: a line costs its reader memory, however short it is."""

_GZIP_MAGIC: Final = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Chunk:
    """Whole lines of a file.

    Attributes:
        first_line: number of the first line in the file, from 1.
        data: the lines; each ends in \\n but perhaps the last line of the file.
    """

    first_line: int
    data: bytes


class LineFile:
    """An open file, read once from front to back (so that a pipe will do).

    Attributes:
        name: the file as it was named, on one line.
        size: in bytes, as it lies there.

    Raises:
        StoreUptimeError: the file is missing, unreadable or surely no CSV, packed by gzip or not.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = printed(path)
        try:
            self._raw = path.open("rb")
            self.size = os.fstat(self._raw.fileno()).st_size
            head = self._raw.peek(HEAD_BYTES)[:HEAD_BYTES]
        except OSError as error:
            raise self._unreadable(error) from None
        packed = head.startswith(_GZIP_MAGIC)
        if not packed:
            reason = why_no_csv(head)
            if reason is None and path.suffix.lower() == ".gz" and self.size:
                reason = "named .gz, but not a gzip file"
            if reason is not None:
                self._raw.close()
                raise StoreUptimeError(f"{self.name}: {reason}")
        self._stream: BinaryIO = self._raw
        if packed:
            self._stream = cast("BinaryIO", io.BufferedReader(gzip.GzipFile(fileobj=self._raw)))

    def position(self) -> int:
        """Bytes of the file that were consumed so far, of `size`; 0 for a pipe."""
        return self._raw.tell() if self._raw.seekable() else 0

    def close(self) -> None:
        """Close the file."""
        self._stream.close()
        self._raw.close()

    def chunks(self) -> Iterator[Chunk]:
        """All lines, long stretches of blank ones aside.

        Of a line longer than MAX_LINE_BYTES only the beginning may come; it is still longer
        than MAX_LINE_BYTES.

        Raises:
            StoreUptimeError: the file cannot be read to its end, or what gzip packed is no CSV.
        """
        line = 1
        rest = b""
        looked_at = self._stream is self._raw
        while block := self._read():
            data = rest + block
            if not looked_at:
                looked_at = True
                if (reason := why_no_csv(data[:HEAD_BYTES])) is not None:
                    raise StoreUptimeError(f"{self.name}: what gzip packed is {reason}")
            end = data.rfind(b"\n") + 1
            rest = data[end:]
            if end:
                yield from _pieces(line, data[:end])
                line += data.count(b"\n", 0, end)
            # one byte more may be the \r of a line end
            if len(rest) > MAX_LINE_BYTES + 1:
                yield Chunk(line, rest[: MAX_LINE_BYTES + 2] + b"\n")
                line += 1
                rest = self._skip_line()
        if rest:
            yield Chunk(line, rest)

    def _skip_line(self) -> bytes:
        """Read on to the end of the line; what was read of the next ones."""
        while block := self._read():
            _, newline, rest = block.partition(b"\n")
            if newline:
                return rest
        return b""

    def _read(self) -> bytes:
        try:
            return self._stream.read(CHUNK_BYTES)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise StoreUptimeError(f"{self.name}: a damaged gzip file: {error}") from None
        except OSError as error:
            raise self._unreadable(error) from None

    def _unreadable(self, error: OSError) -> StoreUptimeError:
        return StoreUptimeError(f"{self.name}: cannot be read: {error.strerror or error}")


def _pieces(line: int, data: bytes) -> Iterator[Chunk]:
    """Whole lines as one chunk, or as many as it takes to keep each within MAX_CHUNK_LINES."""
    if data.count(b"\n") <= MAX_CHUNK_LINES:
        yield Chunk(line, data)
        return
    if data.isspace():
        # who reads on may stop in between, and sees how far it is
        yield Chunk(line, b"\n")
        return
    start = 0
    while start < len(data):
        # a line has a byte at the least
        end = data.find(b"\n", start + MAX_CHUNK_LINES - 1) + 1 or len(data)
        piece = data[start:end]
        if not piece.isspace():
            yield Chunk(line, piece)
        line += piece.count(b"\n")
        start = end
