"""`POST /stores/{store_id}/status` and `POST /status`: live pings."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from http import HTTPStatus
from itertools import chain, islice
from typing import TYPE_CHECKING, Final

from aiohttp import web

from api.http.json_items import Item, ObjectReader, array_slices
from api.http.ndjson import LineSplitter
from api.http.problems import BUSY_SECONDS, RETRY_SECONDS, ProblemError
from api.http.request_body import RequestBodies, RequestBody, json_in, stopping
from api.http.responses import accepted
from api.http.services import service_of
from api.ingest.batch import MAX_REFUSED_ITEMS, SLICE_ITEMS, BatchIntake, TooManyRefusedError
from api.ingest.rejected_body import dead_letter_on_rejection, path_of, read_body
from api.ingest.schemas import MAX_ARRAY_BYTES, MAX_POLL_BYTES, MAX_STREAM_BYTES
from api.ingest.service import IngestService
from stream_app.contracts.api_paths import STATUS, STORE_STATUS
from stream_app.contracts.fields import parse_uuid, status_name
from stream_app.contracts.json_text import BYTE_ORDER_MARK, NotJsonError, foreign_encoding
from stream_app.contracts.polls import parse_poll_body
from stream_app.domain.timestamps import format_instant
from stream_app.errors import BrokerUnavailableError, OverloadedError, RecordError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

log = logging.getLogger(__name__)

SLICE_LINES: Final = 500
"""Lines between two looks at other requests: an object may have many."""

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
"""Bytes behind leading spaces that show the encoding of a body and its kind of JSON."""

_EXPECTED: Final = 'an object such as {"status": "active", "timestamp_utc": "2024-01-01T00:00:00Z"}'
_EXPECTED_MANY: Final = 'a JSON array, or lines, of {"store_id", "status", "timestamp_utc"}'

routes = web.RouteTableDef()


@routes.post(STORE_STATUS)
async def post_status(request: web.Request) -> web.Response:
    """Answer with one poll; without a time it is of now."""
    ingestion = service_of(request, IngestService)
    async with RequestBody(request, service_of(request, RequestBodies)) as body:
        data = await read_body(request, body, MAX_POLL_BYTES)
        async with dead_letter_on_rejection(request, data, polls=1):
            store_id = parse_uuid(request.match_info["store_id"])
            now = ingestion.clock()
            instant, active = parse_poll_body(json_in(data, _EXPECTED), now)
            reason = ingestion.ill_dated(instant, now)
            if reason is not None:
                raise RecordError(reason)
    reason = await ingestion.poll(store_id, (instant, active))
    if reason is not None:
        # by the broker's clock: the worker keeps it
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, reason)
    return accepted(
        {
            "store_id": store_id,
            "status": status_name(active),
            "timestamp_utc": format_instant(instant),
        }
    )


@routes.post(STATUS)
async def post_statuses(request: web.Request) -> web.Response:
    """Answer with the polls of many stores; one that is refused refuses no other."""
    async with RequestBody(request, service_of(request, RequestBodies)) as body:
        beginning = await _beginning(body.chunks())
        async with dead_letter_on_rejection(request, beginning, truncated=True):
            encoding = foreign_encoding(beginning)
            if encoding is not None:
                raise ProblemError(HTTPStatus.BAD_REQUEST, f"the body is {encoding}; send UTF-8")
        text = beginning.removeprefix(BYTE_ORDER_MARK).lstrip()
        in_lines = request.content_type in _NDJSON and not text.startswith(b"[")
        intake = BatchIntake(service_of(request, IngestService), path_of(request), body.try_reserve)
        if in_lines or text.startswith(b"{"):
            return await _take_stream(request, body, beginning, intake)
        return await _take_array(request, body, beginning, intake)


async def _beginning(chunks: AsyncIterator[bytes]) -> bytes:
    """Return the body up to and with the first bytes that tell what it is."""
    beginning = b""
    async for chunk in chunks:
        beginning += chunk
        if len(beginning) > MAX_POLL_BYTES:
            break
        if len(beginning.removeprefix(BYTE_ORDER_MARK).lstrip()) >= _TELLING_BYTES:
            break
    return beginning


async def _take_array(
    request: web.Request, body: RequestBody, beginning: bytes, intake: BatchIntake
) -> web.Response:
    data = await read_body(request, body, MAX_ARRAY_BYTES, beginning)
    body.reserve_for_parsed(data)
    async with dead_letter_on_rejection(request, data):
        # the whole array is read before its first item counts: half an array is no JSON
        await _check_array(request, data)
    async with _counted(intake):
        # over the slices: fewer items at once would be more records of a store
        items = enumerate(chain.from_iterable(array_slices(data)))
        await _take(request, intake, (Item(place, item, None) for place, item in items))
        await intake.complete(data)
        return accepted(intake.answer())


async def _check_array(request: web.Request, data: bytes) -> None:
    if not data.removeprefix(BYTE_ORDER_MARK).strip():
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY, f"the body is empty: it must be {_EXPECTED_MANY}"
        )
    try:
        for _ in array_slices(data):
            await _between_slices(request)
    except NotJsonError as error:
        raise ProblemError(HTTPStatus.BAD_REQUEST, f"the body is {error}") from None
    except RecordError:
        raise RecordError(f"the body is neither of these: {_EXPECTED_MANY}") from None


async def _take_stream(
    request: web.Request, body: RequestBody, chunk: bytes, intake: BatchIntake
) -> web.Response:
    body.reserve_for_stream(MAX_POLL_BYTES)
    splitter, reader = LineSplitter(MAX_POLL_BYTES), ObjectReader(MAX_POLL_BYTES)
    size = 0
    chunk = chunk.removeprefix(BYTE_ORDER_MARK)
    async with _counted(intake):
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
                await _take(request, intake, reader.feed(some))
                # many lines may be no item
                await _between_slices(request)
            chunk = await anext(body.chunks(), b"")
        await _take(request, intake, chain(reader.feed(splitter.flush()), reader.flush()))
        await intake.complete()
        return accepted(intake.answer())


async def _take(request: web.Request, intake: BatchIntake, items: Iterator[Item]) -> None:
    while part := list(islice(items, SLICE_ITEMS)):
        await intake.add(part)
        await _between_slices(request)


async def _between_slices(request: web.Request) -> None:
    if service_of(request, RequestBodies).stopping:
        raise stopping()
    # one large body must not keep other requests waiting
    await asyncio.sleep(0)


@asynccontextmanager
async def _counted(intake: BatchIntake) -> AsyncIterator[None]:
    """Yield a block whose errors tell how many items were accepted and refused before."""
    try:
        try:
            yield
        except (ProblemError, OverloadedError, TooManyRefusedError):
            # what was accepted before counts: wait until the broker has it
            await intake.complete()
            raise
    except ProblemError as error:
        error.members |= intake.counts()
        raise
    except TooManyRefusedError:
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"more than {MAX_REFUSED_ITEMS:,} items are refused, the others were not looked at",
            **intake.counts(),
        ) from None
    except OverloadedError as error:
        raise ProblemError(
            HTTPStatus.TOO_MANY_REQUESTS, str(error), retry_after=BUSY_SECONDS, **intake.counts()
        ) from None
    except BrokerUnavailableError as error:
        log.warning("POST /status: %s", error)
        raise ProblemError(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "the Kafka broker is out of reach: send all again later, nothing counts twice",
            retry_after=RETRY_SECONDS,
            **intake.counts(),
        ) from None
