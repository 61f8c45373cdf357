"""Files as chunks of whole lines: bounded memory whatever the file, plain or gzip."""

from __future__ import annotations

import gzip
import io
import os
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from stream_app.errors import StoreUptimeError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

CHUNK_BYTES: Final = 2 << 20
"""Bytes of one read; a chunk is at most this and one line longer."""

MAX_LINE_BYTES: Final = 64 << 10
"""Longer lines are refused; no more of one is ever held."""

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

    Raises:
        StoreUptimeError: the file is missing, unreadable or, where named .gz, no gzip file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._raw = path.open("rb")
            self.size = os.fstat(self._raw.fileno()).st_size
            packed = self._raw.peek(2)[:2] == _GZIP_MAGIC
        except OSError as error:
            raise self._unreadable(error) from None
        if not packed and path.suffix == ".gz" and self.size:
            self._raw.close()
            raise StoreUptimeError(f"{path}: named .gz, but not a gzip file")
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
        """All lines.

        Of a line longer than MAX_LINE_BYTES only the beginning may come; it is still longer
        than MAX_LINE_BYTES.

        Raises:
            StoreUptimeError: the file cannot be read to its end.
        """
        line = 1
        rest = b""
        while block := self._read():
            data = rest + block
            end = data.rfind(b"\n") + 1
            rest = data[end:]
            if end:
                yield Chunk(line, data[:end])
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
            raise StoreUptimeError(f"{self.path}: a damaged gzip file: {error}") from None
        except OSError as error:
            raise self._unreadable(error) from None

    def _unreadable(self, error: OSError) -> StoreUptimeError:
        return StoreUptimeError(f"{self.path}: cannot be read: {error.strerror or error}")
