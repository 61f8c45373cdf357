"""Every HTTP error in one shape: RFC 9457 `application/problem+json`."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import orjson
from aiohttp import web

from stream_app.errors import (
    BrokerUnavailableError,
    NoStatusPageError,
    OverloadedError,
    OverloadedReportsError,
    PollTimeError,
    RecordError,
    ReportConflictError,
    ReportContentLostError,
    ReportError,
    ReportNotFoundError,
    StoreNotFoundError,
    TooManyStoresError,
    WorkersBehindError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = logging.getLogger(__name__)

RETRY_SECONDS: Final = 5

BUSY_SECONDS: Final = 1
"""Seconds after which a client may try again, if only too much came at once."""

_SHOWN: Final = 200
"""Characters of a request that a detail repeats."""


class ProblemError(Exception):
    """An answer that is an error.

    Args:
        status: the HTTP status.
        detail: one line for a person.
        retry_after: seconds after which to try again; None if trying again does not help.
        members: further fields of the answer's body.

    Attributes:
        headers: further headers of the answer.
    """

    def __init__(
        self, status: HTTPStatus, detail: str, *, retry_after: int | None = None, **members: Any
    ) -> None:
        self.status = status
        self.detail = detail
        self.retry_after = retry_after
        self.headers: dict[str, str] = {}
        self.members = members
        super().__init__(detail)


def problem(
    status: HTTPStatus, detail: str, *, retry_after: int | None = None, **members: Any
) -> web.Response:
    """Return a problem response; `members` are further fields of its body."""
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    body = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
        **members,
    }
    return web.Response(
        status=status.value,
        body=orjson.dumps(body),
        content_type="application/problem+json",
        headers=headers,
    )


@web.middleware
async def problem_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn what a handler raises into a problem; nothing else maps errors to statuses."""
    try:
        return await handler(request)
    except ProblemError as error:
        response = problem(
            error.status, error.detail, retry_after=error.retry_after, **error.members
        )
        response.headers.update(error.headers)
        return response
    except (RecordError, PollTimeError, ReportError) as error:
        return problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))
    except (StoreNotFoundError, NoStatusPageError, ReportNotFoundError) as error:
        return problem(HTTPStatus.NOT_FOUND, str(error))
    except ReportConflictError as error:
        return problem(HTTPStatus.CONFLICT, str(error))
    except ReportContentLostError as error:
        return problem(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))
    except OverloadedReportsError as error:
        return problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error), retry_after=BUSY_SECONDS)
    except WorkersBehindError as error:
        return problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error), retry_after=RETRY_SECONDS)
    except TooManyStoresError as error:
        # trying again does not help
        return problem(HTTPStatus.TOO_MANY_REQUESTS, str(error))
    except OverloadedError as error:
        return problem(HTTPStatus.TOO_MANY_REQUESTS, str(error), retry_after=BUSY_SECONDS)
    except BrokerUnavailableError as error:
        # one line for the lost broker is enough (stream_app.kafka.connectivity), not one a request
        log.debug("%s %s: %s", request.method, request.rel_url.raw_path[:_SHOWN], error)
        return problem(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "the Kafka broker is out of reach; try again later",
            retry_after=RETRY_SECONDS,
        )
    except web.HTTPMethodNotAllowed as error:
        allowed = sorted(error.allowed_methods)
        response = problem(
            HTTPStatus.METHOD_NOT_ALLOWED,
            f"{error.method[:_SHOWN]} is not allowed here, use {' or '.join(allowed)}",
        )
        response.headers["Allow"] = ", ".join(allowed)
        return response
    except web.HTTPNotFound:
        return problem(HTTPStatus.NOT_FOUND, f"no such path: {request.rel_url.raw_path[:_SHOWN]}")
    except web.HTTPException as error:
        if error.status < HTTPStatus.BAD_REQUEST:
            raise
        return problem(HTTPStatus(error.status), error.text or error.reason)
    except Exception:
        log.exception("%s %s", request.method, request.rel_url.raw_path[:_SHOWN])
        return problem(
            HTTPStatus.INTERNAL_SERVER_ERROR, "an internal error; the log of the API tells more"
        )
