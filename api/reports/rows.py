"""The rows of a report of many stores, in the order of store ids, as CSV, JSON or objects.

The rows of each part are in order, in chunks; of every part one chunk is decoded at a time.
"""

from __future__ import annotations

import heapq
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import orjson

from stream_app.domain import report
from stream_app.domain.report import CHUNK_ROWS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from stream_app.contracts.report_results import ReportDocument, Row


def rows_in_order(parts: Iterable[Iterable[bytes]]) -> Iterator[Row]:
    """Merge the rows of all parts by store id."""
    return heapq.merge(*map(_rows, parts), key=itemgetter(0))


def csv_chunks(columns: Sequence[str], rows: Iterable[Row]) -> Iterator[bytes]:
    """Return the public CSV: the header, then the rows."""
    short = (row[: len(columns)] for row in rows)
    return (chunk.encode() for chunk in report.csv_chunks(short, columns))


def json_chunks(
    head: dict[str, Any], fields: Sequence[str], rows: Iterable[Row]
) -> Iterator[bytes]:
    """Yield a JSON object with the fields of the head and `reports`, an object for each row."""
    yield orjson.dumps(head)[:-1] + b',"reports":['
    iterator = iter(rows)
    separator = b""
    while chunk := list(islice(iterator, CHUNK_ROWS)):
        reports = (orjson.dumps(_named(fields, row)) for row in chunk)
        yield separator + b",".join(reports)
        separator = b",\n"
    yield b"]}"


def named_rows(
    document: ReportDocument, parts: Iterable[Iterable[bytes]]
) -> Iterator[dict[str, Any]]:
    """Return the rows of all parts, each as an object."""
    fields = document.row_fields
    return (_named(fields, row) for row in rows_in_order(parts))


def _rows(chunks: Iterable[bytes]) -> Iterator[Row]:
    for chunk in chunks:
        yield from orjson.loads(chunk)


def _named(fields: Sequence[str], row: Row) -> dict[str, Any]:
    # the chunk of a worker of another version may have fewer or more values at the end
    return dict(zip(fields, row, strict=False))
