"""Rejected bodies become dead letters before the answer goes out."""

from __future__ import annotations

from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from api.http.problems import NOT_KEPT, ProblemError
from api.http.request_body import BodyTooLargeError
from api.http.services import service_of
from api.ingest.service import IngestService
from stream_app.contracts.json_text import BYTE_ORDER_MARK
from stream_app.errors import RecordError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import web

    from api.http.request_body import RequestBody

MAX_PATH: Final = 200
"""Characters of a path that are kept: those of every route are fewer."""


def path_of(request: web.Request) -> str:
    """Return the path as a dead letter names it."""
    return request.rel_url.raw_path[:MAX_PATH]


@asynccontextmanager
async def dead_letter_on_rejection(
    request: web.Request, original: bytes, *, truncated: bool = False, polls: int = 0
) -> AsyncIterator[None]:
    """Write a dead letter when the block rejects a body, or its beginning, and raise the error.

    Args:
        request: whose body it is.
        original: the body, or its beginning.
        truncated: whether it is the beginning alone.
        polls: how many polls are refused with it.
    """
    try:
        yield
    except (RecordError, ProblemError) as error:
        ingestion = service_of(request, IngestService)
        ingestion.polls_counted.refused += polls
        # there is nothing to keep of an empty body
        stored = not original.removeprefix(BYTE_ORDER_MARK).strip() or await ingestion.refuse(
            path_of(request), str(error), original, truncated=truncated
        )
        if not stored:
            status = (
                error.status if isinstance(error, ProblemError) else HTTPStatus.UNPROCESSABLE_ENTITY
            )
            raise ProblemError(status, f"{error}{NOT_KEPT}") from None
        raise


async def read_body(
    request: web.Request, body: RequestBody, limit: int, beginning: bytes = b""
) -> bytes:
    """Return the whole body; one that is too large is kept up to the limit and answered 413."""
    try:
        return await body.read(limit, beginning)
    except BodyTooLargeError as error:
        async with dead_letter_on_rejection(request, error.beginning, truncated=True):
            raise ProblemError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, str(error)) from None
