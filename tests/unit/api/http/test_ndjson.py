from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from api.http.ndjson import LineSplitter
from stream_app.errors import RecordError


def split(chunks: list[bytes], limit: int = 8) -> list[tuple[int, bytes | str, bytes]]:
    splitter = LineSplitter(limit)
    lines = [line for chunk in chunks for line in splitter.feed(chunk)]
    lines += splitter.flush()
    return [
        (n, str(line) if isinstance(line, RecordError) else line, original)
        for n, line, original in lines
    ]


def test_lines_with_and_without_a_line_break_at_the_end() -> None:
    assert split([b"a\nbc\n"]) == split([b"a\nbc"]) == [(0, b"a", b"a"), (1, b"bc", b"bc")]


def test_objects_without_line_ends_between_them_are_cut_where_there_are_too_many() -> None:
    assert split([b"{1}{2}{3}{4}\n{5}"]) == [
        (0, b"{1}{2}", b"{1}{2}"),
        (0, b"{3}{4}", b"{3}{4}"),
        (1, b"{5}", b"{5}"),
    ]


def test_blank_lines_are_counted_and_left_out() -> None:
    assert split([b"\n\r\n \na\r\n"]) == [(3, b"a\r", b"a\r")]


def test_a_line_above_the_limit_is_an_error_of_its_own() -> None:
    (long, after) = split([b"123456789012", b"3456\nok\n"])
    number, reason, original = long
    assert (number, original) == (0, b"12345678")
    assert isinstance(reason, str)
    assert reason.startswith("the line is longer than 8 bytes; its beginning is kept")
    assert "--data-binary" in reason
    assert after == (1, b"ok", b"ok")


def test_the_splitter_holds_no_more_than_the_limit() -> None:
    splitter = LineSplitter(8)
    for _ in range(1000):
        assert list(splitter.feed(b"x" * 100)) == []
        assert len(splitter._unfinished_line) <= 8


@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=8))
def test_where_the_chunks_are_cut_does_not_matter(data: bytes, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    chunks = [data[a:b] for a, b in itertools.pairwise(places)]
    assert split(chunks) == split([data])
