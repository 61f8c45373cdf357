"""The body of `POST /status` as items: of a JSON array, or of a stream of JSON objects.

An array is read and checked as a whole before its first item is sent. Of a stream only some lines
are in memory, and its items are sent as they come.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from itertools import chain, count, islice, repeat
from typing import TYPE_CHECKING, Any, Final

from api.http.json_items import Item, ObjectReader, array_slices
from api.http.ndjson import LineSplitter
from api.http.problems import ProblemError
from api.http.request_body import PARSED_BYTES, RequestBodies, is_empty, stopping
from api.http.services import service_of
from api.ingest.rejected_body import dead_letter_on_rejection, read_body
from api.ingest.schemas import MAX_ARRAY_BYTES, MAX_POLL_BYTES, MAX_STREAM_BYTES
from stream_app.contracts.json_text import BYTE_ORDER_MARK, NotJsonError, foreign_encoding
from stream_app.errors import RecordError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from aiohttp import web

    from api.http.request_body import RequestBody

SLICE_ITEMS: Final = 100
"""Items that are sent before other requests get their turn; fewer than a record may have."""

MAX_PARSED_ONCE: Final = 32 << 10
"""Bytes of the largest array whose items stay in memory once it is checked.

A larger one is parsed again, slice by slice, to be sent.
"""

SLICE_LINES: Final = 500
"""Lines that are parsed before other requests get their turn: one object may have many lines."""

_NDJSON: Final = frozenset(
    {
        "application/x-ndjson",
        "application/ndjson",
        "application/jsonl",
        "application/x-jsonl",
        "application/jsonlines",
        "application/x-jsonlines",
        "application/json-lines",
    }
)

_TELLING_BYTES: Final = 4
"""Bytes after the first spaces that show the encoding of a body, and its kind of JSON."""

_EXPECTED: Final = 'a JSON array, or lines, of {"store_id", "status", "timestamp_utc"}'


@dataclass(frozen=True, slots=True)
class StatusItems:
    """The items of a body.

    Attributes:
        slices: the items in order, at most `SLICE_ITEMS` at a time.
        array: the whole body, if it is an array; None if it is a stream.
    """

    slices: AsyncIterator[list[Item]]
    array: bytes | None


async def read_items(request: web.Request, body: RequestBody) -> StatusItems:
    """Read the beginning of a stream, or a whole array, and return the items.

    Raises:
        ProblemError: the body is no UTF-8, no JSON, or too large.
        RecordError: the body is JSON of another kind.
        OverloadedError: the bodies of all requests hold as much as they may.
    """
    beginning = await _beginning(body.chunks())
    async with dead_letter_on_rejection(request, beginning, truncated=True):
        encoding = foreign_encoding(beginning)
        if encoding is not None:
            raise ProblemError(HTTPStatus.BAD_REQUEST, f"the body is {encoding}; send UTF-8")
    text = beginning.removeprefix(BYTE_ORDER_MARK).lstrip()
    in_lines = request.content_type in _NDJSON and not text.startswith(b"[")
    if in_lines or text.startswith(b"{"):
        body.reserve_for_stream(MAX_POLL_BYTES)
        return StatusItems(_stream_slices(request, body, beginning), None)
    data = await read_body(request, body, MAX_ARRAY_BYTES, beginning)
    parsed_once = len(data) <= MAX_PARSED_ONCE and body.try_reserve(PARSED_BYTES * len(data))
    if not parsed_once:
        body.reserve_for_parsed(data)
    async with dead_letter_on_rejection(request, data):
        checked = await _checked_slices(request, data, stored=parsed_once)
    # the items of all slices together: fewer at once would be more records of a store
    items = chain.from_iterable(checked if parsed_once else array_slices(data))
    return StatusItems(_in_slices(request, map(Item, count(), items, repeat(None))), data)


async def _beginning(chunks: AsyncIterator[bytes]) -> bytes:
    """Read a body until its first bytes show what it is."""
    beginning = b""
    async for chunk in chunks:
        beginning += chunk
        if len(beginning) > MAX_POLL_BYTES:
            break
        if len(beginning.removeprefix(BYTE_ORDER_MARK).lstrip()) >= _TELLING_BYTES:
            break
    return beginning


async def _checked_slices(request: web.Request, data: bytes, *, stored: bool) -> list[list[Any]]:
    """Check that a body is an array, and return its slices if they are to be stored."""
    if is_empty(data):
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY, f"the body is empty: it must be {_EXPECTED}"
        )
    try:
        slices = []
        for items in array_slices(data):
            if stored:
                slices.append(items)
            await _yield_to_others(request)
    except NotJsonError as error:
        raise ProblemError(HTTPStatus.BAD_REQUEST, f"the body is {error}") from None
    except RecordError:
        raise RecordError(f"the body is neither of these: {_EXPECTED}") from None
    return slices


async def _stream_slices(
    request: web.Request, body: RequestBody, beginning: bytes
) -> AsyncIterator[list[Item]]:
    splitter, reader = LineSplitter(MAX_POLL_BYTES), ObjectReader(MAX_POLL_BYTES)
    size = 0
    chunk = beginning.removeprefix(BYTE_ORDER_MARK)
    while chunk:
        size += len(chunk)
        if size > MAX_STREAM_BYTES:
            raise ProblemError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"the body is larger than {MAX_STREAM_BYTES:,} bytes: the items before that "
                "count, send the others in a body of their own",
            )
        lines = splitter.feed(chunk)
        while some := list(islice(lines, SLICE_LINES)):
            async for items in _in_slices(request, reader.feed(some)):
                yield items
            # many lines may have no item
            await _yield_to_others(request)
        chunk = await anext(body.chunks(), b"")
    rest = chain(reader.feed(splitter.flush()), reader.flush())
    async for items in _in_slices(request, rest):
        yield items


async def _in_slices(request: web.Request, items: Iterator[Item]) -> AsyncIterator[list[Item]]:
    while some := list(islice(items, SLICE_ITEMS)):
        yield some
        await _yield_to_others(request)


async def _yield_to_others(request: web.Request) -> None:
    """Let other requests run: one large body must not keep them waiting.

    Raises:
        ProblemError: the API is stopping.
    """
    if service_of(request, RequestBodies).stopping:
        raise stopping()
    await asyncio.sleep(0)
