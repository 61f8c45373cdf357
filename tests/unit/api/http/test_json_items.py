"""Objects are read over several lines, several on one line, and with broken ones between them."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.http.json_items import SLICE_BYTES, ObjectReader, array_slices
from api.http.ndjson import LineSplitter
from stream_app.contracts.json_text import BYTE_ORDER_MARK, NotJsonError
from stream_app.errors import RecordError

if TYPE_CHECKING:
    from collections.abc import Iterator

REFUSED = "refused"
TRICKY = {"store_id": "}{", "a": ['"', "\\", '\\"}', "[{"], "b": {"c": [{"d": []}, {}]}}


def read(body: bytes, limit: int = 10_000) -> list[tuple[int, Any]]:
    """Return number and content of every item; the content of a refused item is REFUSED."""
    splitter, reader = LineSplitter(limit), ObjectReader(limit)

    def items() -> Iterator[Any]:
        yield from reader.feed(splitter.feed(body))
        yield from reader.feed(splitter.flush())
        yield from reader.flush()

    return [
        (item.number, REFUSED if isinstance(item.content, RecordError) else item.content)
        for item in items()
    ]


@pytest.mark.parametrize("indent", [None, 0, 1, 4, "\t"])
@pytest.mark.parametrize("between", ["", " ", "\n", "\r\n\r\n"])
def test_objects_are_read_in_any_layout(indent: int | str | None, between: str) -> None:
    text = between.join(json.dumps(TRICKY, indent=indent) for _ in range(3))
    items = read(text.encode())
    assert [content for _, content in items] == [TRICKY] * 3
    assert items[0][0] == 0


def test_an_item_has_the_number_of_the_line_that_it_begins_on() -> None:
    assert read(b'{"a":\n1}\n\n{"a":\n\n2}{"a": 3}\n{"a": 4}\n{"a": 5') == [
        (0, {"a": 1}),
        (3, {"a": 2}),
        (5, {"a": 3}),
        (6, {"a": 4}),
        (7, REFUSED),
    ]


def test_an_item_on_a_line_of_its_own_ends_a_broken_one_before_it() -> None:
    good = b'{"store_id": 1}'
    for broken in (b"{", b'{"a": [', b'{"store_id": ', b'{"a":\n{"b": 1\n'):
        contents = [content for _, content in read(broken + b"\n" + good + b"\n" + good)]
        assert contents[-2:] == [{"store_id": 1}] * 2
        assert set(map(str, contents[:-2])) == {REFUSED}


def test_the_reader_holds_no_more_of_an_object_than_the_limit() -> None:
    reader = ObjectReader(1000)
    for _ in range(10_000):
        items = list(reader.feed([(0, b'{"a":', b""), (1, b"[1,", b"")]))
        assert len(reader._text) <= 1000 + 6
    assert not isinstance(items, str)


def test_endless_nesting_is_refused_at_once() -> None:
    assert read(b"{" * 9_000 + b"\n{}") == [(0, REFUSED), (1, {})]
    assert read(b'{"a":\n' * 200)[0] == (0, REFUSED)


@given(
    st.lists(st.dictionaries(st.text(max_size=3), st.text(max_size=5), max_size=2), max_size=4),
    st.sampled_from([None, 0, 2]),
)
def test_strings_may_have_any_content(contents: list[dict[str, str]], indent: int | None) -> None:
    body = b"\n".join(json.dumps(content, indent=indent).encode() for content in contents)
    assert [content for _, content in read(body)] == contents


# -- arrays

VALUES = st.recursive(
    st.none() | st.integers(-9, 9) | st.text(st.sampled_from('a,"\\[]{} '), max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.just("k"), inner, max_size=1),
    max_leaves=5,
)


def slices_of(body: bytes) -> list[Any]:
    return list(itertools.chain.from_iterable(array_slices(body)))


@given(st.lists(VALUES, max_size=6), st.sampled_from([None, 1]))
def test_the_slices_of_an_array_have_all_its_items(items: list[Any], indent: int | None) -> None:
    many = items * 3000
    body = json.dumps(many, indent=indent).encode()
    try:
        joined = slices_of(BYTE_ORDER_MARK + b" " + body + b"\n")
    except NotJsonError:
        # only where an item has so many commas that no slice ends with an item
        assert len(body) > SLICE_BYTES
        return
    assert joined == many


@pytest.mark.parametrize(
    "body",
    [
        b"[" + b"1," * SLICE_BYTES,
        b"[" + b"1," * SLICE_BYTES + b"]",
        b"[" + b"1," * SLICE_BYTES + b" ]",
        b"[1," + b" " * 2 * SLICE_BYTES + b"]",
        b"[" + b"1," * SLICE_BYTES + b"1]]",
        b"[" + b"1," * SLICE_BYTES + b"1],[1]",
        b"[," + b"1," * SLICE_BYTES + b"1]",
        b"[" + b"1," * SLICE_BYTES + b",1]",
        b"[" + b"[1," * SLICE_BYTES + b"1]",
        b'["' + b"," * 12 * SLICE_BYTES + b'"]',
    ],
)
def test_a_broken_array_or_one_with_an_endless_item_is_refused(body: bytes) -> None:
    with pytest.raises(NotJsonError, match="not JSON"):
        slices_of(body)


@pytest.mark.parametrize("body", [b"{}", b"1", b'"' + b"x" * 100 + b'"'])
def test_json_that_is_no_array_is_refused(body: bytes) -> None:
    with pytest.raises(RecordError, match="not a JSON array but"):
        slices_of(body)
