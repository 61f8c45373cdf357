"""`POST /stores/{store_id}/status` and `POST /status`: live pings."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from http import HTTPStatus
from itertools import islice
from typing import TYPE_CHECKING, Final

from aiohttp import web

from api.batch_intake import MAX_REFUSED_ITEMS, SLICE_ITEMS, BatchIntake, TooManyRefusedError
from api.keys import BODIES, INGESTION
from api.lines import LineSplitter
from api.problems import BUSY_SECONDS, RETRY_SECONDS, ProblemError, accepted
from api.refused import path_of, refused_is_kept, whole_body
from api.request_body import RequestBody, json_in, stopping
from stream_app.contracts.bodies import poll_in
from stream_app.contracts.records import parse_uuid, status_name
from stream_app.domain.instants import format_instant
from stream_app.errors import BrokerUnavailableError, OverloadedError, RecordError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from api.lines import Line

log = logging.getLogger(__name__)

MAX_POLL_BYTES: Final = 65_536
"""Body of a single poll, and a line of many."""

MAX_ARRAY_BYTES: Final = 8 << 20
"""A JSON array, which is read whole."""

MAX_STREAM_BYTES: Final = 64 << 20
"""NDJSON, which is read line by line."""

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
_EXPECTED: Final = 'an object such as {"status": "active", "timestamp_utc": "2024-01-01T00:00:00Z"}'
_EXPECTED_MANY: Final = 'a JSON array, or lines, of {"store_id", "status", "timestamp_utc"}'

routes = web.RouteTableDef()


@routes.post("/stores/{store_id}/status")
async def post_status(request: web.Request) -> web.Response:
    """One poll; without a time it is of now."""
    ingestion = request.app[INGESTION]
    async with RequestBody(request, request.app[BODIES]) as body:
        data = await whole_body(request, body, MAX_POLL_BYTES)
        async with refused_is_kept(request, data, polls=1):
            store_id = parse_uuid(request.match_info["store_id"])
            now = ingestion.clock()
            instant, active = poll_in(json_in(data, _EXPECTED), now)
            reason = ingestion.ahead(instant, now)
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


@routes.post("/status")
async def post_statuses(request: web.Request) -> web.Response:
    """Polls of many stores; one that is refused refuses no other."""
    async with RequestBody(request, request.app[BODIES]) as body:
        chunks = body.chunks()
        beginning = await _beginning(chunks)
        if request.content_type in _NDJSON or beginning.lstrip().startswith(b"{"):
            return await _take_stream(request, body, beginning, chunks)
        return await _take_array(request, body, beginning)


async def _beginning(chunks: AsyncIterator[bytes]) -> bytes:
    """The body up to and with the first chunk that is not blank."""
    beginning = b""
    async for chunk in chunks:
        beginning += chunk
        if not chunk.isspace() or len(beginning) > MAX_POLL_BYTES:
            return beginning
    if beginning:
        return beginning
    raise ProblemError(
        HTTPStatus.UNPROCESSABLE_ENTITY, f"the body is empty: it must be {_EXPECTED_MANY}"
    )


async def _take_array(request: web.Request, body: RequestBody, beginning: bytes) -> web.Response:
    data = await whole_body(request, body, MAX_ARRAY_BYTES, beginning)
    body.hold_parsed(data)
    async with refused_is_kept(request, data):
        items = json_in(data, _EXPECTED_MANY)
        if not isinstance(items, list):
            raise RecordError(f"the body is neither of these: {_EXPECTED_MANY}")
    intake = BatchIntake(request.app[INGESTION], path_of(request))
    async with _counted(intake):
        numbered = enumerate(items)
        while part := list(islice(numbered, SLICE_ITEMS)):
            await intake.take_items(part, data)
            await _between_slices(request)
        await intake.finish()
    return accepted(intake.answer())


async def _take_stream(
    request: web.Request, body: RequestBody, chunk: bytes, chunks: AsyncIterator[bytes]
) -> web.Response:
    body.hold_stream(MAX_POLL_BYTES)
    intake = BatchIntake(request.app[INGESTION], path_of(request))
    splitter = LineSplitter(MAX_POLL_BYTES)
    size = 0
    async with _counted(intake):
        while chunk:
            size += len(chunk)
            if size > MAX_STREAM_BYTES:
                raise ProblemError(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                    f"the body is larger than {MAX_STREAM_BYTES:,} bytes: the items before that "
                    "count, send the others in a body of their own",
                )
            await _take_lines(request, intake, splitter.feed(chunk))
            chunk = await anext(chunks, b"")
        await _take_lines(request, intake, splitter.finish())
        await intake.finish()
    return accepted(intake.answer())


async def _take_lines(request: web.Request, intake: BatchIntake, lines: Iterator[Line]) -> None:
    while part := list(islice(lines, SLICE_ITEMS)):
        await intake.take_lines(part)
        await _between_slices(request)


async def _between_slices(request: web.Request) -> None:
    if request.app[BODIES].stopping:
        raise stopping()
    # one large body must not keep other requests waiting
    await asyncio.sleep(0)


@asynccontextmanager
async def _counted(intake: BatchIntake) -> AsyncIterator[None]:
    """A block whose errors tell how many items were accepted and refused before."""
    try:
        try:
            yield
        except (ProblemError, OverloadedError, TooManyRefusedError):
            # what was taken before counts: wait until that is true
            await intake.finish()
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
