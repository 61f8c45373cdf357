"""A stream of bytes as lines, in bounded memory."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from stream_app.errors import RecordError

if TYPE_CHECKING:
    from collections.abc import Iterator

Line = tuple[int, bytes | RecordError, bytes]
"""The number of a line from 0 on, its bytes or an error, and the bytes for a dead letter."""


_NOT_BLANK: Final = re.compile(rb"\S")
_TWO_OBJECTS: Final = b"}{"


class LineTooLongError(RecordError):
    """A line above the limit, of which only the beginning is there."""


class LineSplitter:
    """Cuts chunks into lines; blank ones count, but are left out.

    A line above the limit becomes an error, with the beginning of the line. The next line is read
    as usual.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._number = 0
        self._unfinished_line = bytearray()
        self._skipping = False

    def feed(self, chunk: bytes) -> Iterator[Line]:
        """Yield the lines that end in this chunk; the iterator must be read to its end."""
        start = 0
        while True:
            if not (self._unfinished_line or self._skipping):
                # white space before a line does not count; many blank lines are skipped at once
                match = _NOT_BLANK.search(chunk, start)
                first = len(chunk) if match is None else match.start()
                self._number += chunk.count(b"\n", start, first)
                start = first
            end = chunk.find(b"\n", start)
            if end < 0:
                yield from self._grow(chunk[start:])
                return
            yield from self._grow(chunk[start:end])
            yield from self._end()
            start = end + 1

    def flush(self) -> Iterator[Line]:
        """Yield the last line, where no line break ends it."""
        yield from self._end()

    def _grow(self, piece: bytes) -> Iterator[Line]:
        if self._skipping:
            return
        self._unfinished_line += piece
        while len(self._unfinished_line) > self._limit:
            # objects that lost the line ends between them are cut there
            cut = 1 + self._unfinished_line.rfind(_TWO_OBJECTS, 0, self._limit)
            if not cut:
                self._skipping = True
                del self._unfinished_line[self._limit :]
                return
            line = bytes(self._unfinished_line[:cut])
            del self._unfinished_line[:cut]
            yield self._number, line, line

    def _end(self) -> Iterator[Line]:
        number, line = self._number, bytes(self._unfinished_line)
        skipped = self._skipping
        self._number += 1
        self._unfinished_line.clear()
        self._skipping = False
        if skipped:
            reason = (
                f"the line is longer than {self._limit:,} bytes; its beginning is kept (curl -d "
                "takes the line ends out: use --data-binary)"
            )
            yield number, LineTooLongError(reason), line
        elif line:
            yield number, line, line
