"""Packed bodies are unpacked in small pieces, and refused where they unpack to too much."""

from __future__ import annotations

import gzip
import itertools
import zlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.http.content_coding import (
    FREE_BYTES,
    MAX_MEMBERS,
    MAX_RATIO,
    PIECE_BYTES,
    CodingError,
    RatioError,
    Unpacker,
)

if TYPE_CHECKING:
    from collections.abc import Callable

FORMS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
}


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def unpacked(coding: str, *chunks: bytes) -> bytes:
    unpacker = Unpacker(coding)
    data = b"".join(piece for chunk in chunks for piece in unpacker.feed(chunk))
    unpacker.flush()
    assert unpacker.unpacked == len(data)
    assert unpacker.packed == sum(map(len, chunks))
    return data


@pytest.mark.parametrize("coding", FORMS)
def test_a_packed_body_unpacks_to_the_original(coding: str) -> None:
    data = bytes(range(256)) * 2000
    assert unpacked(coding, FORMS[coding](data)) == data
    assert unpacked(coding) == b"", "no body at all"


def test_deflate_without_its_head_is_read_too() -> None:
    data = bytes(range(256)) * 2000
    assert unpacked("deflate", raw_deflate(data)) == data


@given(st.binary(max_size=3000), st.integers(1, 3), st.lists(st.integers(0, 4000), max_size=6))
def test_where_the_chunks_are_cut_does_not_matter(
    data: bytes, members: int, cuts: list[int]
) -> None:
    body = gzip.compress(data) * members + b"\0" * (members - 1)
    places = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    chunks = [body[a:b] for a, b in itertools.pairwise(places)]
    assert unpacked("gzip", *chunks) == data * members


def test_a_body_is_unpacked_in_small_pieces() -> None:
    body = gzip.compress(bytes(FREE_BYTES))
    unpacker = Unpacker("gzip")
    sizes = [len(piece) for piece in unpacker.feed(body)]
    assert sum(sizes) == FREE_BYTES
    assert max(sizes) <= PIECE_BYTES
    unpacker.flush()


def test_empty_gzip_members_are_unpacked_with_pauses() -> None:
    unpacker = Unpacker("gzip")
    pauses = list(unpacker.feed(gzip.compress(b"") * 1000))
    assert len(pauses) == 9
    assert set(pauses) == {b""}


@pytest.mark.parametrize("coding", FORMS)
def test_a_body_that_unpacks_to_too_much_is_refused_early(coding: str) -> None:
    body = FORMS[coding](bytes(64 << 20))
    unpacker = Unpacker(coding)
    with pytest.raises(RatioError, match="100 times"):
        sum(map(len, unpacker.feed(body)))
    assert unpacker.unpacked <= max(FREE_BYTES, MAX_RATIO * len(body)) + PIECE_BYTES


def test_the_ratio_counts_only_the_bytes_that_are_received() -> None:
    """A body that begins as a bomb is refused then, not when all of it is received."""
    unpacker = Unpacker("gzip")
    body = gzip.compress(bytes(64 << 20))
    pieces = (unpacker.feed(body[start : start + 1000]) for start in range(0, len(body), 1000))
    with pytest.raises(RatioError):
        sum(len(piece) for piece in itertools.chain.from_iterable(pieces))
    assert unpacker.unpacked <= FREE_BYTES + PIECE_BYTES + 1000 * MAX_RATIO


def test_a_body_of_countless_parts_is_refused() -> None:
    unpacker = Unpacker("gzip")
    body = gzip.compress(b"") * (MAX_MEMBERS + 1)
    with pytest.raises(RatioError, match="parts"):
        list(unpacker.feed(body))


GOOD = gzip.compress(b"figures" * 1000)


@pytest.mark.parametrize(
    ("coding", "body", "reason"),
    [
        ("gzip", GOOD[:-1], "ends early, after"),
        ("gzip", GOOD[:-8], "ends early"),
        ("gzip", GOOD[: len(GOOD) // 2], "ends early"),
        ("gzip", GOOD[:5], "ends early"),
        ("gzip", b"\x1f", "ends early"),
        ("deflate", zlib.compress(b"figures" * 1000)[:-2], "ends early"),
        ("gzip", GOOD + GOOD[:-3], "ends early"),
        ("gzip", GOOD[:-5] + b"\xff" + GOOD[-4:], "incorrect data check"),
        ("gzip", GOOD[:-1] + b"\xff", "incorrect length check"),
        ("gzip", b'{"store_id"', "not gzip"),
        ("gzip", GOOD + b"rubbish", "7 or more bytes behind the end"),
        ("gzip", GOOD + b"\0\0\0x", "behind the end"),
        ("gzip", GOOD + b"\x1fx", "not gzip"),
        ("deflate", zlib.compress(b"x") + b"rubbish", "behind the end"),
        ("deflate", b"\xff\xff", "not deflate"),
    ],
)
def test_a_body_of_another_coding_or_without_its_end_is_refused(
    coding: str, body: bytes, reason: str
) -> None:
    with pytest.raises(CodingError, match=reason):
        unpacked(coding, body)


@pytest.mark.parametrize("coding", ["br", "zstd", "rot13", "identity", "GZIP", ""])
def test_other_codings_are_unknown(coding: str) -> None:
    with pytest.raises(KeyError):
        Unpacker(coding)
