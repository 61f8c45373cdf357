"""Reads a file, plain or gzip, in chunks of whole lines and in bounded memory."""

from __future__ import annotations

import gzip
import io
import os
import select
import stat
import threading
import zlib
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from producers.csv_replay.file_format import HEAD_BYTES, printed, why_no_csv
from stream_app.errors import StoreUptimeError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

CHUNK_BYTES: Final = 4 << 20
"""Bytes of one read; a chunk is longer by one line at most.
Each of polars' steps costs time for a chunk, however short it is: chunks of 2 MB take a fifth more
CPU time, and chunks of 8 MB take 50 MB more memory."""

MAX_LINE_BYTES: Final = 64 << 10
"""A longer line is rejected, and no more of it is held in memory."""

MAX_CHUNK_LINES: Final = 64 << 10
"""Most lines of one chunk: even a short line costs its reader memory."""

_STOP_CHECK_MS: Final = 100
"""Milliseconds between two checks whether a read that waits for input is to stop."""

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


class _WaitingReader(io.RawIOBase):
    """Reads from a pipe or a terminal; a read that waits for input can be stopped.

    A thread that waited in the system's own `read` or `open` could not be ended: a command would
    not end at Ctrl-C before somebody writes into its pipe.
    """

    def __init__(self, path: Path, stop: threading.Event) -> None:
        # a named pipe would wait here for its first writer
        self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._stop = stop
        self._poll = select.poll()
        self._poll.register(self._descriptor, select.POLLIN)

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def readinto(self, buffer: Any) -> int:
        while not self._stop.is_set():
            if self._poll.poll(_STOP_CHECK_MS):
                with suppress(BlockingIOError):
                    data = os.read(self._descriptor, len(buffer))
                    buffer[: len(data)] = data
                    return len(data)
        raise OSError("the reading was stopped")

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()


class LineFile:
    """An open file that is read once from front to back, so that a pipe is possible.

    Args:
        path: the file.
        stop: ends a read that waits for input, with an error.

    Attributes:
        name: the path of the file on one line.
        size: the size of the file in bytes, compressed or not.

    Raises:
        StoreUptimeError: the file is missing, unreadable or surely no CSV, compressed or not.
    """

    def __init__(self, path: Path, stop: threading.Event | None = None) -> None:
        self.path = path
        self.name = printed(path)
        self._position = 0
        try:
            self._raw = (
                path.open("rb")
                if stat.S_ISREG(path.stat().st_mode)
                else io.BufferedReader(_WaitingReader(path, stop or threading.Event()))
            )
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
        """Return the bytes of `size` that were read so far; 0 for a pipe. Thread-safe."""
        return self._position

    def may_wait(self) -> bool:
        """Return True for a pipe or a terminal, where a read waits until somebody writes."""
        return not self._raw.seekable()

    def close(self) -> None:
        """Close the file."""
        self._stream.close()
        self._raw.close()

    def chunks(self) -> Iterator[Chunk]:
        """Yield all lines except long runs of blank ones.

        Of a line longer than MAX_LINE_BYTES only the beginning may be yielded, which is still
        longer than MAX_LINE_BYTES.

        Raises:
            StoreUptimeError: the file cannot be read to its end, or its gzip content is no CSV.
        """
        line = 1
        rest = b""
        checked = self._stream is self._raw
        while block := self._read():
            data = rest + block
            if not checked:
                checked = True
                if (reason := why_no_csv(data[:HEAD_BYTES])) is not None:
                    raise StoreUptimeError(f"{self.name}: its gzip content is {reason}")
            end = data.rfind(b"\n") + 1
            rest = data[end:]
            if end:
                count = data.count(b"\n")
                yield from _bounded_chunks(line, data[:end], count)
                line += count
            # one byte more may be the \r of a line end
            if len(rest) > MAX_LINE_BYTES + 1:
                yield Chunk(line, rest[: MAX_LINE_BYTES + 2] + b"\n")
                line += 1
                rest = self._skip_line()
        if rest:
            yield Chunk(line, rest)

    def _skip_line(self) -> bytes:
        """Skip the rest of the line; return the bytes that were read of the next lines."""
        while block := self._read():
            _, newline, rest = block.partition(b"\n")
            if newline:
                return rest
        return b""

    def _read(self) -> bytes:
        try:
            block = self._stream.read(CHUNK_BYTES)
            if not self.may_wait():
                self._position = self._raw.tell()
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise StoreUptimeError(f"{self.name}: a damaged gzip file: {error}") from None
        except OSError as error:
            raise self._unreadable(error) from None
        return block

    def _unreadable(self, error: OSError) -> StoreUptimeError:
        return StoreUptimeError(f"{self.name}: cannot be read: {error.strerror or error}")


def _bounded_chunks(line: int, data: bytes, count: int) -> Iterator[Chunk]:
    """Yield `count` whole lines as chunks of at most MAX_CHUNK_LINES."""
    if count <= MAX_CHUNK_LINES:
        yield Chunk(line, data)
        return
    if data.isspace():
        # an empty chunk lets the reader stop here and shows the progress
        yield Chunk(line, b"\n")
        return
    start = 0
    while start < len(data):
        # a line has one byte at least
        end = data.find(b"\n", start + MAX_CHUNK_LINES - 1) + 1 or len(data)
        lines = data[start:end]
        if not lines.isspace():
            yield Chunk(line, lines)
        line += lines.count(b"\n")
        start = end
