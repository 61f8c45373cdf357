"""A complete report as an answer: CSV, JSON or Parquet, with what its figures rest on."""

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
from api.reports.rows import csv_chunks, fields_of, json_chunks, rows_in_order
from api.reports.service import ReportService
from stream_app.contracts.report_results import content_rows, names_in, objects_of
from stream_app.domain.report import CSV_HEADER, csv_text
from stream_app.domain.report_spec import unknown_columns_of
from stream_app.domain.timestamps import parse_instant, to_datetime
from stream_app.errors import OverloadedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from api.reports.view import Pieces, ReportState
    from stream_app.contracts.report_results import Row

CSV: Final = "text/csv"
JSON: Final = "application/json"
PARQUET: Final = "application/vnd.apache.parquet"
MEDIA: Final = (CSV, JSON, PARQUET)
"""The forms of a report, the one that nobody has to ask for first."""

_MAX_HEADER: Final = 4_000
"""Characters of a header; clients take no more than eight thousand of all. JSON has no limit."""

FurtherColumn = Literal[
    "reference_time", "coverage", "unknown", "timezone", "hours_version", "polls_counted"
]
FURTHER_COLUMNS: Final[tuple[FurtherColumn, ...]] = get_args(FurtherColumn)
"""What CSV and Parquet have besides the usual columns where the request names it.

`unknown` stands for a column a figure: how much of it no poll backs.
"""

_ENDINGS: Final = {CSV: "csv", JSON: "json", PARQUET: "parquet"}

ACCOUNTED: Final = (
    "reference_time",
    "lookback",
    "default_status",
    "stale_after",
    "timezone",
    "unknown_timezone",
    "hours_version",
    "tzdata_version",
    "polls_counted",
    "coverage",
)
"""What headers tell of a report, where it has it; the JSON form has all of it in its body."""


def further_columns(request: web.Request) -> tuple[FurtherColumn, ...]:
    """The further columns that a request names.

    Raises:
        RecordError: there is no such column.
    """
    return enum_params(request, "columns", FURTHER_COLUMNS)


async def report_answer(
    request: web.Request, state: ReportState, further: Sequence[FurtherColumn]
) -> web.StreamResponse:
    """The report as the request prefers it.

    Args:
        request: what it accepts.
        state: the report.
        further: columns besides the usual ones; JSON has all of them anyway.

    Raises:
        ProblemError: its content is gone.
        OverloadedError: too much is being written already.
    """
    if state.content is None:
        raise gone(state)
    media = best_of(request.headers.getall("Accept", []), MEDIA)
    if state.parts is not None:
        return await _fleet_answer(request, state, state.content, media, further)
    headers = _headers(state, state.content, media, further)
    if media == JSON:
        body = orjson.dumps({"report_id": state.report_id, "status": "complete", **state.content})
        return web.Response(body=body, content_type=JSON, headers=headers)
    columns, rows = content_rows(state.content)
    names = [name for name in _names(columns, further) if name not in columns]
    rows = [
        [*row, *(told.get(name) for name in names)]
        for row, told in zip(rows, objects_of(state.content), strict=True)
    ]
    if media == CSV:
        text = csv_text(rows, [*columns, *names])
        return web.Response(text=text, content_type=CSV, charset="utf-8", headers=headers)
    body = await parquet([*columns, *names], rows)
    return web.Response(body=body, content_type=PARQUET, headers=headers)


def gone(state: ReportState) -> ProblemError:
    """The error of a complete report whose content is not there."""
    return ProblemError(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        f"report {state.report_id} is complete but its content is gone; trigger a new one",
    )


async def _fleet_answer(
    request: web.Request,
    state: ReportState,
    content: dict[str, Any],
    media: str,
    further: Sequence[FurtherColumn],
) -> web.StreamResponse:
    pieces = service_of(request, ReportService).pieces(state.report_id)
    if not pieces.parts:
        raise gone(state)
    budget = service_of(request, RequestBodies).budget
    size = pieces.held
    if media == PARQUET:
        size = pieces.size * PARQUET_FACTOR
        if size > budget.limit:
            raise ProblemError(
                HTTPStatus.NOT_ACCEPTABLE,
                "the report is too large for one Parquet file from here: take CSV or JSON",
            )
    if not budget.try_acquire(size):
        raise OverloadedError("too many large answers are being written: try again in a moment")
    try:
        response = web.StreamResponse(headers=_headers(state, content, media, further))
        response.content_type = media
        if media == CSV:
            response.charset = "utf-8"
        chunks = await _chunks(state, content, pieces, media, further)
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
            # a reader that is quick makes no write wait, and others want to be answered too
            await asyncio.sleep(0)
        await response.write_eof()
    finally:
        budget.release(size)
    return response


async def _chunks(
    state: ReportState,
    content: dict[str, Any],
    pieces: Pieces,
    media: str,
    further: Sequence[FurtherColumn],
) -> Iterable[bytes]:
    columns = names_in(content, "columns", CSV_HEADER)
    fields = fields_of(content)
    rows = rows_in_order(pieces.parts)
    names = _names(columns, further)
    if media == CSV:
        return csv_chunks(*_with_further(content, fields, rows, columns, names))
    if media == JSON:
        told = {name: value for name, value in content.items() if name != "further"}
        head = {"report_id": state.report_id, "status": "complete", **told}
        return json_chunks(head, fields, rows)
    wide, all_fields = _with_further(content, fields, rows, fields, names)
    return [await parquet(wide, all_fields)]


def _names(columns: Iterable[str], further: Sequence[FurtherColumn]) -> list[str]:
    """The names of further columns, `unknown` as one a figure."""
    return [
        name
        for column in further
        for name in (unknown_columns_of(columns) if column == "unknown" else (column,))
    ]


def _with_further(
    content: dict[str, Any],
    fields: Sequence[str],
    rows: Iterable[Row],
    columns: Sequence[str],
    names: Iterable[str],
) -> tuple[list[str], Iterator[Row]]:
    """The columns, and the rows of these columns, with further ones behind them."""
    added = [name for name in names if name not in columns]
    places = [fields.index(name) if name in fields else None for name in added]
    count = len(columns)

    def value(row: Row, name: str, place: int | None) -> Any:
        if place is None:
            # of the whole report, or of a report that an earlier version made
            return content.get(name)
        return row[place] if place < len(row) else None

    wide = (
        [
            *row[:count],
            *(value(row, name, place) for name, place in zip(added, places, strict=True)),
        ]
        for row in rows
    )
    return [*columns, *added], wide


def _headers(
    state: ReportState, content: dict[str, Any], media: str, further: Sequence[FurtherColumn]
) -> dict[str, str]:
    name = f"report-{state.report_id}.{_ENDINGS[media]}"
    if further:
        # for people, who look for a time rather than for an id
        at = to_datetime(parse_instant(content["reference_time"]))
        name = f"uptime-{at:%Y-%m-%dT%H%MZ}.{_ENDINGS[media]}"
    headers = {"X-Report-Status": "Complete", "Vary": "Accept"}
    if media != JSON:
        headers["Content-Disposition"] = f'inline; filename="{name}"'
        headers |= dict(_accounting(content))
    return headers


def _accounting(content: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name in ACCOUNTED:
        if content.get(name) is not None:
            # a header is ASCII; the JSON form has the text itself
            yield header_of(name), str(content[name]).encode("ascii", "backslashreplace").decode()
    told = "; ".join(
        f"{topic}=" + ",".join(f"{partition}:{offset}" for partition, offset in offsets.items())
        for topic, offsets in content.get("input_offsets", {}).items()
    )
    if 0 < len(told) <= _MAX_HEADER:
        yield header_of("input_offsets"), told
    lost = "; ".join(
        f"{one['topic']}/{one['partition']}={one['first_offset']}-{one['end_offset'] - 1}"
        for one in content.get("lost_input", ())
    )
    if lost:
        yield header_of("lost_input"), lost if len(lost) <= _MAX_HEADER else "see the JSON form"


def header_of(name: str) -> str:
    """The header that tells a field of a report."""
    return "X-" + name.title().replace("_", "-")
