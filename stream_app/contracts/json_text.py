"""JSON from outside: UTF-8, with or without a byte order mark, no key twice in one object."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import orjson

from stream_app.errors import RecordError

if TYPE_CHECKING:
    from collections.abc import Iterator

BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
"""The bytes before UTF-8 of some Windows programs; they do not belong to the text."""

_GZIP: Final = b"\x1f\x8b"

_MARKS: Final = (
    # the longer ones first: two of them begin alike
    (b"\xff\xfe\x00\x00", "UTF-32"),
    (b"\x00\x00\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)
_ZEROS: Final = {
    # where the zero bytes of the first character are: JSON begins with a character in ASCII
    (True, True, True, False): "UTF-32",
    (False, True, True, True): "UTF-32",
    (True, False): "UTF-16",
    (False, True): "UTF-16",
}


_WHITE_SPACE: Final = b" \t\n\r"
"""The characters that JSON allows between its tokens."""

_TOKEN: Final = re.compile(rb'"(?:[^"\\]+|\\.)*+"|[{}\[\]:,]')
"""Finds the strings and the punctuation of JSON."""

_KEY_LENGTH: Final = 60
"""Characters of a repeated key that the reason shows."""


class NotJsonError(RecordError):
    """A text is not JSON."""


class RepeatedKeyError(RecordError):
    """A JSON object has one key twice, so it says two things of which only one could count.

    Attributes:
        original: the text of the whole item that the object stands in.
    """

    def __init__(self, key: str, original: bytes) -> None:
        super().__init__(f"the key {key[:_KEY_LENGTH]!r} stands twice in one object")
        self.original = original


def parse_json(text: bytes) -> Any:
    """Parse JSON from a client.

    Raises:
        NotJsonError: the text is not JSON; the reason is one line.
        RepeatedKeyError: an object in it has a key twice.
    """
    content = parse_own_json(text)
    if isinstance(item := item_or_error(text, content), RepeatedKeyError):
        raise item
    return content


def item_or_error(text: bytes, content: Any) -> Any:
    """Return an item that a client sent, or the error if an object in it has a key twice.

    Args:
        text: the item.
        content: the item as orjson parses it.
    """
    if _keys_are_unique(text, content):
        return content
    (error,) = _repeated_keys(b"[%b]" % text)
    return error or content


def items_or_errors(text: bytes, items: list[Any]) -> list[Any]:
    """Return the items of an array that a client sent, as `item_or_error` has each of them.

    Args:
        text: the array.
        items: the array as orjson parses it.
    """
    if _keys_are_unique(text, items):
        return items
    return [error or item for item, error in zip(items, _repeated_keys(text), strict=True)]


def _keys_are_unique(text: bytes, content: Any) -> bool:
    """Return True if a quick count proves that no object in a text has a key twice.

    orjson keeps the last of two equal keys and raises no error. But every key in the text ends with
    a quote that a colon follows, once white space is out of the way. So where there are no more
    such pairs than keys in the parsed content, no key was lost. A pair inside of a string only
    makes it uncertain.
    """
    pairs = text.translate(None, _WHITE_SPACE).count(b'":')
    # most objects have no other objects in them, and it is quicker to count the outer ones alone
    keys = 0
    if isinstance(content, dict):
        keys = len(content)
    elif isinstance(content, list):
        keys = sum([len(item) for item in content if isinstance(item, dict)])
    return pairs == keys or pairs == _count_keys(content)


def _count_keys(content: Any) -> int:
    """Count the keys in all objects, without those in lists whose first item is no object.

    Lists of numbers are long and hold no key: to look at each number would cost more than parsing.
    """
    count = 0
    remaining = [content]
    while remaining:
        value = remaining.pop()
        if isinstance(value, dict):
            count += len(value)
            remaining.extend(value.values())
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            remaining.extend(value)
    return count


def _repeated_keys(array: bytes) -> Iterator[RepeatedKeyError | None]:
    """Yield, for each item of an array, the first key that an object has twice; None without one.

    This is the exact answer, and takes many times as long as parsing.
    """
    # the keys of each object that is open; None for an array
    open_keys: list[set[str] | None] = []
    repeated: str | None = None
    text, start = b"", 0
    for token in _TOKEN.finditer(array):
        match token[0]:
            case b"{":
                open_keys.append(set())
            case b"[":
                open_keys.append(None)
                if len(open_keys) == 1:
                    start = token.end()
            case b":":
                keys, key = open_keys[-1], orjson.loads(text)
                if keys is not None and key in keys and repeated is None:
                    repeated = key
                elif keys is not None:
                    keys.add(key)
            case b"}":
                open_keys.pop()
            case b"," | b"]":
                if len(open_keys) == 1:
                    original = array[start : token.start()].strip()
                    yield None if repeated is None else RepeatedKeyError(repeated, original)
                    start, repeated = token.end(), None
                if token[0] == b"]":
                    open_keys.pop()
            case text:
                pass


def parse_own_json(text: bytes) -> Any:
    """Parse JSON that this product wrote itself, which has no key twice.

    Raises:
        NotJsonError: the text is not JSON; the reason is one line.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        if text.startswith(BYTE_ORDER_MARK):
            return parse_own_json(text.removeprefix(BYTE_ORDER_MARK))
        encoding = foreign_encoding(text)
        reason = str(error) if encoding is None else f"the text is {encoding}; send UTF-8"
        if text.startswith(_GZIP):
            reason = "it is packed with gzip; by HTTP say Content-Encoding: gzip"
        raise NotJsonError(f"not JSON: {reason}") from None


def foreign_encoding(text: bytes) -> str | None:
    """Return `UTF-16` or `UTF-32` if the first bytes of a text are of these; else None."""
    for mark, name in _MARKS:
        if text.startswith(mark):
            return name
    zeros = tuple(byte == 0 for byte in text[:4])
    return _ZEROS.get(zeros) or _ZEROS.get(zeros[:2])
