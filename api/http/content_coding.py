"""`Content-Encoding` of a request's body: gzip and deflate, unpacked in small pieces, bounded."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

PIECE_BYTES: Final = 32 << 10
"""Bytes that are unpacked at once: other requests have their turn between two pieces."""

MAX_RATIO: Final = 100
"""Unpacked bytes for a packed one. JSON of polls comes to about 20."""

FREE_BYTES: Final = 1 << 20
"""Bytes that may be unpacked whatever the ratio: a small body may repeat one item only."""

MAX_MEMBERS: Final = 10_000
"""Parts of a gzip body, each with a head of its own, as `cat a.gz b.gz` makes them."""

_MEMBERS_AT_ONCE: Final = 100
"""Parts between two turns of other requests, where they hold hardly anything."""

_GZIP: Final = 16 + zlib.MAX_WBITS
_ZLIB: Final = zlib.MAX_WBITS
_RAW: Final = -zlib.MAX_WBITS

IDENTITY: Final = frozenset({"", "identity"})
_WINDOWS: Final = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": _ZLIB}

ACCEPTED: Final = "gzip, deflate"
"""The codings that can be read, in the form of `Accept-Encoding`."""


class CodingError(Exception):
    """A body is not in the coding that its Content-Encoding names, or it is cut short."""


class RatioError(Exception):
    """A body unpacks to many times its size, like one that is made to fill the memory."""


class Unpacker:
    """Unpacks one body.

    Attributes:
        packed: bytes that came.
        unpacked: bytes that they became.

    Args:
        coding: one of those in `ACCEPTED`, in lower case.

    Raises:
        KeyError: it is none of them.
    """

    def __init__(self, coding: str) -> None:
        self.packed = 0
        self.unpacked = 0
        self._coding = coding
        self._window = _WINDOWS[coding]
        self._members = 0
        self._decompressor = zlib.decompressobj(self._window)
        self._begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Unpack these bytes, at most `PIECE_BYTES` at once; a piece may be empty.

        Raises:
            CodingError: they are not in this coding.
            RatioError: they unpack to too many bytes.
        """
        self.packed += len(data)
        if not self._begun and data:
            self._start(data)
        # zlib may hold more than it was asked for, also of input that it has read
        more = False
        while data or more:
            if self._decompressor.eof:
                data = self._next_member(data)
                if self._members % _MEMBERS_AT_ONCE == 0:
                    yield b""
                continue
            try:
                piece = self._decompressor.decompress(data, PIECE_BYTES)
            except zlib.error as error:
                raise CodingError(f"the body is not {self._coding}: {error}") from None
            ended = self._decompressor.eof
            data = self._decompressor.unused_data if ended else self._decompressor.unconsumed_tail
            more = not ended and len(piece) == PIECE_BYTES
            self.unpacked += len(piece)
            if self.unpacked > max(FREE_BYTES, MAX_RATIO * self.packed):
                raise RatioError(
                    f"the body unpacks to more than {MAX_RATIO} times the {self.packed:,} bytes "
                    "that came of it"
                )
            if piece:
                yield piece

    def flush(self) -> None:
        """Check that the stream is whole, when all bytes were fed.

        Raises:
            CodingError: the last part did not end.
        """
        if self.packed and not self._decompressor.eof:
            raise CodingError(
                f"the {self._coding} body ends early, after {self.packed:,} bytes: it was cut short"
            )

    def _start(self, data: bytes) -> None:
        self._begun = True
        # deflate is zlib by the standard, and many send it without zlib's head all the same
        if self._coding == "deflate" and data[0] & 0x0F != zlib.DEFLATED:
            self._window = _RAW
            self._decompressor = zlib.decompressobj(_RAW)

    def _next_member(self, data: bytes) -> bytes:
        """Begin the next part of the body; return the bytes that belong to it."""
        if self._window == _GZIP:
            # gzip itself skips zeros behind the end
            data = data.lstrip(b"\0")
            if not data:
                return data
            if data[:1] == b"\x1f":
                self._members += 1
                if self._members >= MAX_MEMBERS:
                    raise RatioError(f"the gzip body has more than {MAX_MEMBERS:,} parts")
                self._decompressor = zlib.decompressobj(_GZIP)
                return data
        raise CodingError(
            f"there are {len(data):,} or more bytes behind the end of the {self._coding} body"
        )
