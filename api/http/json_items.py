"""The items of a body that is a sequence of JSON objects, or one array, without a long pause.

A sequence is NDJSON as a rule. Objects over several lines, as `jq` writes them, and several on
one line, as `curl -d` leaves them without their line ends, are accepted as well: only a line that
is no JSON by itself is looked at so closely.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from stream_app.contracts.json_text import (
    BYTE_ORDER_MARK,
    NotJsonError,
    item_or_error,
    items_or_errors,
    parse_json,
    parse_own_json,
)
from stream_app.errors import RecordError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from api.http.ndjson import Line

SLICE_BYTES: Final = 8 << 10
"""Bytes of an array that are parsed at once: other requests have their turn in between."""

_ITEM_BYTES: Final = 64 << 10
"""Bytes that the last item of a slice may have beyond it."""

_MAX_DEPTH: Final = 100
"""Braces and brackets within each other, beyond which an object over several lines is none."""

_CUTS: Final = 4
"""Places that are tried as the end of an item, before an array is regarded as broken."""

_TOKEN: Final = re.compile(rb'"(?:[^"\\]+|\\.)*+"|[{}\[\]"]')
_BETWEEN_OBJECTS: Final = re.compile(rb"(?<=\})\s*,\s*(?=\{)")
_COMMA: Final = re.compile(rb",")
_AN_OBJECT: Final = b"store_id"


class Item(NamedTuple):
    """An item of a body.

    Attributes:
        number: the number of the line that it begins on, or of its place in an array, from 0 on.
        content: the parsed item, or the error if it cannot be used.
        original: its bytes; None in an array, whose items have none of their own.
    """

    number: int
    content: Any
    original: bytes | None


class ObjectReader:
    """Makes items of lines.

    Args:
        limit: bytes that an object may have over all its lines.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._number = 0
        self._text = bytearray()
        self._depth = 0

    def feed(self, lines: Iterable[Line]) -> Iterator[Item]:
        """Yield the items that end on these lines; the iterator must be read to its end."""
        for number, line, original in lines:
            if isinstance(line, RecordError):
                yield from self.flush()
                yield Item(number, line, original)
            elif self._text:
                yield from self._continue(number, line)
            else:
                try:
                    yield Item(number, item_or_error(line, orjson.loads(line)), original)
                except orjson.JSONDecodeError:
                    yield from self._parse_by_tokens(number, line)

    def flush(self) -> Iterator[Item]:
        """Yield an object that did not end."""
        if self._text:
            yield self._item()

    def _continue(self, number: int, line: bytes) -> Iterator[Item]:
        """Yield one more line of an object, unless it is an item and the object is broken."""
        if line[:1] == b"{" and _AN_OBJECT in line:
            try:
                content = item_or_error(line, orjson.loads(line))
            except orjson.JSONDecodeError:
                pass
            else:
                yield self._item()
                yield Item(number, content, line)
                return
        yield from self._parse_by_tokens(number, line)

    def _parse_by_tokens(self, number: int, line: bytes) -> Iterator[Item]:
        start = 0
        for token in _TOKEN.finditer(line):
            match token[0]:
                case b"{" | b"[":
                    self._depth += 1
                case b"}" | b"]":
                    self._depth -= 1
                case b'"':
                    # a text that does not end on its line
                    self._depth = -1
            if not 0 <= self._depth <= _MAX_DEPTH:
                break
            if self._depth == 0 and token[0] in b"}]":
                self._add(number, line[start : token.end()])
                yield self._item()
                start = token.end()
        rest = line[start:]
        if rest.strip():
            self._add(number, rest)
            if not 0 < self._depth <= _MAX_DEPTH or len(self._text) > self._limit:
                yield self._item()

    def _add(self, number: int, piece: bytes) -> None:
        if not self._text:
            self._number = number
        else:
            self._text += b"\n"
        self._text += piece

    def _item(self) -> Item:
        text = bytes(self._text)
        self._text.clear()
        self._depth = 0
        content: Any
        try:
            content = parse_json(text)
        except RecordError as error:
            content = error
        return Item(self._number, content, text)


def array_slices(body: bytes) -> Iterator[list[Any]]:
    """Yield the items of a JSON array, or their errors, as many at once as `SLICE_BYTES` hold.

    An array is parsed in slices that end with an item. A slice that is JSON ends there for sure:
    otherwise its brackets and quotes would not match.

    Raises:
        NotJsonError: it is not JSON.
        RecordError: it is no array.
    """
    text = body.removeprefix(BYTE_ORDER_MARK).strip()
    is_array = text[:1] == b"["
    if len(text) > SLICE_BYTES and is_array and text[-1:] != b"]":
        raise NotJsonError("not JSON: the array does not end")
    if len(text) <= SLICE_BYTES or not is_array:
        content = parse_own_json(text[:SLICE_BYTES])
        if not isinstance(content, list):
            raise RecordError(f"not a JSON array but {type(content).__name__}")
        yield items_or_errors(text, content)
        return
    start, end = 1, len(text) - 1
    while True:
        items, cut = _slice(text, start, end)
        if not items:
            raise NotJsonError(f"not JSON: no item at byte {start:,}")
        yield items
        if cut == end:
            return
        start = cut + 1


def _slice(text: bytes, start: int, end: int) -> tuple[list[Any], int]:
    """Return the items from `start` on, and where they end."""
    reason = NotJsonError(f"not JSON: an item is longer than {_ITEM_BYTES:,} bytes")
    for cut in _cuts(text, start + SLICE_BYTES, end):
        array = b"[%b]" % text[start:cut]
        try:
            return items_or_errors(array, orjson.loads(array)), cut
        except orjson.JSONDecodeError as error:
            reason = NotJsonError(f"not JSON from byte {start:,} on: {error}")
    raise reason


def _cuts(text: bytes, first: int, end: int) -> Iterator[int]:
    """Yield the places where an item may end, the most probable ones first."""
    if first < end:
        last = min(first + _ITEM_BYTES, end)
        for pattern in (_BETWEEN_OBJECTS, _COMMA):
            for _, match in zip(range(_CUTS), pattern.finditer(text, first, last), strict=False):
                yield text.index(b",", match.start())
    if end - first < _ITEM_BYTES:
        yield end
