"""The representations of a complete report: CSV, JSON or Parquet, with its provenance."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import orjson
from aiohttp import web

from api.http.content_negotiation import best_of
from api.http.problems import ProblemError
from api.http.query_params import enum_params
from api.http.request_body import RequestBodies
from api.http.services import service_of
from api.reports.parquet import PARQUET_FACTOR, parquet
from api.reports.rows import csv_chunks, json_chunks, rows_in_order
from api.reports.service import ReportService, content_lost
from stream_app.contracts.report_results import PROVENANCE
from stream_app.domain.report import csv_text
from stream_app.domain.report_spec import unknown_columns_of
from stream_app.domain.timestamps import to_datetime
from stream_app.errors import OverloadedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from api.reports.view import ReportState, StoredRows
    from stream_app.contracts.report_results import ReportDocument, Row

CSV: Final = "text/csv"
JSON: Final = "application/json"
PARQUET: Final = "application/vnd.apache.parquet"
MEDIA: Final = (CSV, JSON, PARQUET)
"""The media types of a report; the first one is the default."""

_MAX_HEADER: Final = 4_000
"""Most characters of one header; clients accept some eight thousand in all. JSON has no limit."""

OptionalColumn = Literal[
    "reference_time", "coverage", "unknown", "timezone", "hours_version", "polls_counted"
]
OPTIONAL_COLUMNS: Final[tuple[OptionalColumn, ...]] = get_args(OptionalColumn)
"""Columns that CSV and Parquet have only where the request names them.

`unknown` means one column for each figure: the part of it that no poll covers.
"""

_ENDINGS: Final = {CSV: "csv", JSON: "json", PARQUET: "parquet"}


def optional_columns(request: web.Request) -> tuple[OptionalColumn, ...]:
    """Return the optional columns that a request names.

    Raises:
        RecordError: there is no such column.
    """
    return enum_params(request, "columns", OPTIONAL_COLUMNS)


async def report_answer(
    request: web.Request, state: ReportState, optional: Sequence[OptionalColumn]
) -> web.StreamResponse:
    """Answer a report in the media type that the request prefers.

    Args:
        request: the request.
        state: the report.
        optional: columns besides the usual ones; JSON always has all of them.

    Raises:
        ReportContentLostError: the content of the report is gone.
        OverloadedError: too many large answers are being written already.
    """
    document = state.document
    if document is None:
        raise content_lost(state.report_id)
    media = best_of(request.headers.getall("Accept", []), MEDIA)
    if state.parts is not None:
        return await _fleet_answer(request, state, document, media, optional)
    headers = _headers(state.report_id, document, media, optional)
    if media == JSON:
        body = orjson.dumps(document.to_json(state.report_id))
        return web.Response(body=body, content_type=JSON, headers=headers)
    columns = document.columns
    names = [name for name in _names(columns, optional) if name not in columns]
    rows = [
        [*row, *(fields.get(name) for name in names)]
        for row, fields in zip(document.csv_rows(), document.rows(), strict=True)
    ]
    if media == CSV:
        text = csv_text(rows, [*columns, *names])
        return web.Response(text=text, content_type=CSV, charset="utf-8", headers=headers)
    body = await parquet([*columns, *names], rows)
    return web.Response(body=body, content_type=PARQUET, headers=headers)


async def _fleet_answer(
    request: web.Request,
    state: ReportState,
    document: ReportDocument,
    media: str,
    optional: Sequence[OptionalColumn],
) -> web.StreamResponse:
    stored = service_of(request, ReportService).stored_rows(state.report_id)
    if not stored.parts:
        raise content_lost(state.report_id)
    budget = service_of(request, RequestBodies).budget
    size = stored.bytes_in_memory
    if media == PARQUET:
        size = stored.size * PARQUET_FACTOR
        if size > budget.limit:
            raise ProblemError(
                HTTPStatus.NOT_ACCEPTABLE,
                "the report is too large for one Parquet file from here: take CSV or JSON",
            )
    if not budget.try_acquire(size):
        raise OverloadedError("too many large answers are being written: try again in a moment")
    try:
        response = web.StreamResponse(headers=_headers(state.report_id, document, media, optional))
        response.content_type = media
        if media == CSV:
            response.charset = "utf-8"
        chunks = await _chunks(state.report_id, document, stored, media, optional)
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
            # with a quick client no write waits, and other requests would not run
            await asyncio.sleep(0)
        await response.write_eof()
    finally:
        budget.release(size)
    return response


async def _chunks(
    report_id: str,
    document: ReportDocument,
    stored: StoredRows,
    media: str,
    optional: Sequence[OptionalColumn],
) -> Iterable[bytes]:
    rows = rows_in_order(stored.parts)
    names = _names(document.columns, optional)
    if media == CSV:
        if not names:
            # as they are: copying the rows of 4,559 stores was a fifth of the API's time
            return csv_chunks(document.columns, rows)
        return csv_chunks(*_with_optional(document, rows, document.columns, names))
    if media == JSON:
        return json_chunks(document.to_json(report_id), document.row_fields, rows)
    columns, wide_rows = _with_optional(document, rows, document.row_fields, names)
    return [await parquet(columns, wide_rows)]


def _names(columns: Iterable[str], optional: Sequence[OptionalColumn]) -> list[str]:
    """Return the names of optional columns, `unknown` as one for each figure."""
    return [
        name
        for column in optional
        for name in (unknown_columns_of(columns) if column == "unknown" else (column,))
    ]


def _with_optional(
    document: ReportDocument,
    rows: Iterable[Row],
    columns: Sequence[str],
    names: Iterable[str],
) -> tuple[list[str], Iterator[Row]]:
    """Return the columns with optional ones behind them, and the rows of all of these columns."""
    fields = document.row_fields
    added = [name for name in names if name not in columns]
    indexes = [fields.index(name) if name in fields else None for name in added]
    count = len(columns)

    def value(row: Row, name: str, index: int | None) -> Any:
        if index is None:
            # a value of the whole report, or of a report that an earlier version made
            return document.fields.get(name)
        return row[index] if index < len(row) else None

    wide_rows = (
        [
            *row[:count],
            *(value(row, name, index) for name, index in zip(added, indexes, strict=True)),
        ]
        for row in rows
    )
    return [*columns, *added], wide_rows


def _headers(
    report_id: str, document: ReportDocument, media: str, optional: Sequence[OptionalColumn]
) -> dict[str, str]:
    name = f"report-{report_id}.{_ENDINGS[media]}"
    if optional:
        # for people, who look for a time rather than for an id
        name = f"uptime-{to_datetime(document.reference_time):%Y-%m-%dT%H%MZ}.{_ENDINGS[media]}"
    headers = {"X-Report-Status": "Complete", "Vary": "Accept"}
    if media != JSON:
        headers["Content-Disposition"] = f'inline; filename="{name}"'
        headers |= dict(_provenance_headers(document.provenance))
    return headers


def _provenance_headers(provenance: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the headers of a report's provenance; the JSON form has all of it in its body."""
    for name in PROVENANCE:
        if name in provenance:
            # a header is ASCII; the JSON form has the text itself
            text = str(provenance[name]).encode("ascii", "backslashreplace").decode()
            yield header_of(name), text
    offsets = "; ".join(
        f"{topic}=" + ",".join(f"{partition}:{offset}" for partition, offset in of_topic.items())
        for topic, of_topic in provenance.get("input_offsets", {}).items()
    )
    if 0 < len(offsets) <= _MAX_HEADER:
        yield header_of("input_offsets"), offsets
    lost = "; ".join(
        f"{one['topic']}/{one['partition']}={one['first_offset']}-{one['end_offset'] - 1}"
        for one in provenance.get("lost_input", ())
    )
    if lost:
        yield header_of("lost_input"), lost if len(lost) <= _MAX_HEADER else "see the JSON form"


def header_of(name: str) -> str:
    """Return the name of the header of a field of a report."""
    return "X-" + name.title().replace("_", "-")
