"""JSON from outside, whoever brings it: UTF-8, with or without a byte order mark."""

from __future__ import annotations

from typing import Any, Final

import orjson

from stream_app.errors import RecordError

BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
"""Stands before UTF-8 from some Windows programs, and is none of the text."""

_GZIP: Final = b"\x1f\x8b"

_MARKS: Final = (
    # the longer ones first: two of them begin alike
    (b"\xff\xfe\x00\x00", "UTF-32"),
    (b"\x00\x00\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)
_ZEROS: Final = {
    # where the zeros of a first character stand that is ASCII, as that of JSON is
    (True, True, True, False): "UTF-32",
    (False, True, True, True): "UTF-32",
    (True, False): "UTF-16",
    (False, True): "UTF-16",
}


class NotJsonError(RecordError):
    """A text is not JSON."""


def parse_json(text: bytes) -> Any:
    """What a JSON text says.

    Raises:
        NotJsonError: it is none; in one line.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        if text.startswith(BYTE_ORDER_MARK):
            return parse_json(text.removeprefix(BYTE_ORDER_MARK))
        encoding = foreign_encoding(text)
        reason = str(error) if encoding is None else f"the text is {encoding}; send UTF-8"
        if text.startswith(_GZIP):
            reason = "it is packed with gzip; by HTTP say Content-Encoding: gzip"
        raise NotJsonError(f"not JSON: {reason}") from None


def foreign_encoding(text: bytes) -> str | None:
    """`UTF-16` or `UTF-32`, where the first bytes of a text are of these; else None."""
    for mark, name in _MARKS:
        if text.startswith(mark):
            return name
    zeros = tuple(byte == 0 for byte in text[:4])
    return _ZEROS.get(zeros) or _ZEROS.get(zeros[:2])
