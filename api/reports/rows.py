"""A complete report of many stores as an answer: its rows in the order of store ids, as they come.

The rows of each part are in order, in pieces; of every part one piece is unpacked at a time.
"""

from __future__ import annotations

import heapq
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import orjson

from stream_app.contracts.report_results import FIRST_FURTHER_FIELDS, names_in
from stream_app.domain import report
from stream_app.domain.report import CHUNK_ROWS, CSV_HEADER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from stream_app.contracts.report_results import Row


def rows_in_order(parts: Iterable[Iterable[bytes]]) -> Iterator[Row]:
    """The rows of all parts, by store id."""
    return heapq.merge(*map(_rows, parts), key=itemgetter(0))


def csv_chunks(columns: Sequence[str], rows: Iterable[Row]) -> Iterator[bytes]:
    """The public CSV: the header, then the rows of the stores."""
    short = (row[: len(columns)] for row in rows)
    return (chunk.encode() for chunk in report.csv_chunks(short, columns))


def json_chunks(
    head: dict[str, Any], fields: Sequence[str], rows: Iterable[Row]
) -> Iterator[bytes]:
    """An object of the head's fields and of `reports`, one object a row."""
    yield orjson.dumps(head)[:-1] + b',"reports":['
    left = iter(rows)
    separator = b""
    while chunk := list(islice(left, CHUNK_ROWS)):
        reports = (orjson.dumps(_named(fields, row)) for row in chunk)
        yield separator + b",".join(reports)
        separator = b",\n"
    yield b"]}"


def named_rows(
    content: dict[str, Any], parts: Iterable[Iterable[bytes]]
) -> Iterator[dict[str, Any]]:
    """The rows of all parts, each as an object."""
    fields = fields_of(content)
    return (_named(fields, row) for row in rows_in_order(parts))


def fields_of(content: dict[str, Any]) -> tuple[str, ...]:
    """The names of a row's values: the columns of the CSV, and what only JSON and Parquet have."""
    further = names_in(content, "further", FIRST_FURTHER_FIELDS)
    return (*names_in(content, "columns", CSV_HEADER), *further)


def _rows(pieces: Iterable[bytes]) -> Iterator[Row]:
    for piece in pieces:
        yield from orjson.loads(piece)


def _named(fields: Sequence[str], row: Row) -> dict[str, Any]:
    # the piece of a worker of another version may have fewer or more of the last ones
    return dict(zip(fields, row, strict=False))
