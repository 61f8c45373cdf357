"""Writes a rejected body as a dead letter, before its request is answered."""

from __future__ import annotations

from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from api.http.problems import ProblemError
from api.http.request_body import BodyTooLargeError, RequestBodies, RequestBody, is_empty
from api.http.services import service_of
from api.ingest.service import NO_DEAD_LETTER, IngestService
from stream_app.errors import RecordError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import web

MAX_PATH: Final = 200
"""Characters of a path that a dead letter has: the path of every route is shorter."""


def path_of(request: web.Request) -> str:
    """Return the path of a request as a dead letter names it."""
    return request.rel_url.raw_path[:MAX_PATH]


@asynccontextmanager
async def dead_letter_on_rejection(
    request: web.Request, original: bytes, *, truncated: bool = False, polls: int = 0
) -> AsyncIterator[None]:
    """Run a block; where it rejects the body, write a dead letter and raise the block's error.

    Args:
        request: the request.
        original: its body, or the beginning of it.
        truncated: whether `original` is the beginning alone.
        polls: how many polls are rejected with the body.
    """
    try:
        yield
    except (RecordError, ProblemError) as error:
        ingestion = service_of(request, IngestService)
        ingestion.poll_counts.refused += polls
        # an empty body has nothing that a dead letter could keep
        if not is_empty(original) and not await ingestion.write_body_dead_letter(
            path_of(request), str(error), original, truncated=truncated
        ):
            status = (
                error.status if isinstance(error, ProblemError) else HTTPStatus.UNPROCESSABLE_ENTITY
            )
            raise ProblemError(status, f"{error}{NO_DEAD_LETTER}") from None
        raise


async def read_body(
    request: web.Request, body: RequestBody, limit: int, beginning: bytes = b""
) -> bytes:
    """Return the whole body; one that is too large becomes a dead letter and is answered 413."""
    try:
        return await body.read(limit, beginning)
    except BodyTooLargeError as error:
        async with dead_letter_on_rejection(request, error.beginning, truncated=True):
            raise


@asynccontextmanager
async def rejectable_body(
    request: web.Request, limit: int, *, polls: int = 0
) -> AsyncIterator[bytes]:
    """Read the whole body, and run a block that may reject it, as `dead_letter_on_rejection` does.

    Args:
        request: the request.
        limit: the bytes that the body may have.
        polls: how many polls are rejected with the body.
    """
    async with RequestBody(request, service_of(request, RequestBodies)) as body:
        data = await read_body(request, body, limit)
        async with dead_letter_on_rejection(request, data, polls=polls):
            yield data
