"""A complete report of many stores as an answer: its rows in the order of store ids, as they come.

The rows of each part are in order, in pieces; of every part one piece is unpacked at a time.
"""

from __future__ import annotations

import csv
import heapq
import io
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

import orjson

from stream_app.contracts.reports import ROW_FIELDS
from stream_app.domain.report import CSV_HEADER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from stream_app.contracts.reports import Row

CHUNK_ROWS: Final = 500
"""Rows that are written at a time: some 40 kB."""


def rows_in_order(parts: Sequence[Sequence[bytes]]) -> Iterator[Row]:
    """The rows of all parts, by store id."""
    return heapq.merge(*map(_rows, parts), key=itemgetter(0))


def csv_chunks(rows: Iterable[Row]) -> Iterator[bytes]:
    """The public CSV: the header, then a row a store."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_HEADER)
    for number, row in enumerate(rows, 1):
        writer.writerow(row[: len(CSV_HEADER)])
        if number % CHUNK_ROWS == 0:
            yield _taken(text)
    yield _taken(text)


def json_chunks(head: dict[str, Any], rows: Iterable[Row]) -> Iterator[bytes]:
    """An object of the head's fields and of `reports`, one object a store."""
    yield orjson.dumps(head)[:-1] + b',"reports":['
    separator = b""
    for number, row in enumerate(rows, 1):
        yield separator + orjson.dumps(dict(zip(ROW_FIELDS, row, strict=True)))
        separator = b",\n" if number % CHUNK_ROWS == 0 else b","
    yield b"]}"


def _rows(pieces: Iterable[bytes]) -> Iterator[Row]:
    for piece in pieces:
        yield from orjson.loads(piece)


def _taken(text: io.StringIO) -> bytes:
    taken = text.getvalue().encode()
    text.seek(0)
    text.truncate()
    return taken
