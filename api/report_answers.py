"""A complete report as an answer: CSV, JSON or Parquet, with what its figures rest on."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import orjson
from aiohttp import web

from api.accept import best_of
from api.fleet_report import csv_chunks, fields_of, json_chunks, rows_in_order
from api.keys import BODIES, REPORTS
from api.parquet import PARQUET_FACTOR, parquet
from api.problems import ProblemError
from stream_app.contracts.reports import content_rows, names_in, report_csv
from stream_app.domain.report import CSV_HEADER
from stream_app.errors import OverloadedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from api.report_log import Pieces, ReportState

CSV: Final = "text/csv"
JSON: Final = "application/json"
PARQUET: Final = "application/vnd.apache.parquet"
MEDIA: Final = (CSV, JSON, PARQUET)
"""The forms of a report, the one that nobody has to ask for first."""

_MAX_HEADER: Final = 4_000
"""Characters of a header; clients take no more than eight thousand of all. JSON has no limit."""

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


async def report_answer(request: web.Request, state: ReportState) -> web.StreamResponse:
    """The report as the request prefers it.

    Raises:
        ProblemError: its content is gone.
        OverloadedError: too much is being written already.
    """
    if state.content is None:
        raise gone(state)
    media = best_of(request.headers.getall("Accept", []), MEDIA)
    if state.parts is not None:
        return await _fleet_answer(request, state, state.content, media)
    headers = _headers(state, state.content, media)
    if media == JSON:
        body = orjson.dumps({"report_id": state.report_id, "status": "complete", **state.content})
        return web.Response(body=body, content_type=JSON, headers=headers)
    if media == CSV:
        text = report_csv([state.content])
        return web.Response(text=text, content_type=CSV, charset="utf-8", headers=headers)
    columns, rows = content_rows(state.content)
    body = await parquet(columns, rows)
    return web.Response(body=body, content_type=PARQUET, headers=headers)


def gone(state: ReportState) -> ProblemError:
    """The error of a complete report whose content is not there."""
    return ProblemError(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        f"report {state.report_id} is complete but its content is gone; trigger a new one",
    )


async def _fleet_answer(
    request: web.Request, state: ReportState, content: dict[str, Any], media: str
) -> web.StreamResponse:
    pieces = request.app[REPORTS].pieces(state.report_id)
    if not pieces.parts:
        raise gone(state)
    budget = request.app[BODIES].budget
    size = pieces.held
    if media == PARQUET:
        size = pieces.size * PARQUET_FACTOR
        if size > budget.limit:
            raise ProblemError(
                HTTPStatus.NOT_ACCEPTABLE,
                "the report is too large for one Parquet file from here: take CSV or JSON",
            )
    if not budget.try_take(size):
        raise OverloadedError("too many large answers are being written: try again in a moment")
    try:
        response = web.StreamResponse(headers=_headers(state, content, media))
        response.content_type = media
        if media == CSV:
            response.charset = "utf-8"
        chunks = await _chunks(state, content, pieces, media)
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
            # a reader that is quick makes no write wait, and others want to be answered too
            await asyncio.sleep(0)
        await response.write_eof()
    finally:
        budget.give_back(size)
    return response


async def _chunks(
    state: ReportState, content: dict[str, Any], pieces: Pieces, media: str
) -> Iterable[bytes]:
    columns = names_in(content, "columns", CSV_HEADER)
    fields = fields_of(content)
    rows = rows_in_order(pieces.parts)
    if media == CSV:
        return csv_chunks(columns, rows)
    if media == JSON:
        told = {name: value for name, value in content.items() if name != "further"}
        head = {"report_id": state.report_id, "status": "complete", **told}
        return json_chunks(head, fields, rows)
    return [await parquet(fields, rows)]


def _headers(state: ReportState, content: dict[str, Any], media: str) -> dict[str, str]:
    name = f"report-{state.report_id}.{_ENDINGS[media]}"
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
