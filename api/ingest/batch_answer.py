"""The answer to a `POST /status`: the counts of its batch, also where it is an error."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING

from api.http.problems import BUSY_SECONDS, RETRY_SECONDS, ProblemError
from api.http.responses import accepted
from api.ingest.batch import MAX_REJECTED_ITEMS, TooManyRejectedError
from stream_app.errors import BrokerUnavailableError, OverloadedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiohttp import web

    from api.ingest.batch import PollBatchPublisher

log = logging.getLogger(__name__)


def batch_answer(batch: PollBatchPublisher) -> web.Response:
    """Answer that some items of a batch are accepted, and list those that are not.

    Raises:
        ProblemError: no item is accepted.
    """
    content = batch.content()
    if not batch.accepted:
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, batch.rejection(), **content)
    return accepted(content)


@contextmanager
def counts_in_problems(batch: PollBatchPublisher) -> Iterator[None]:
    """Run a block whose errors say how many items of a batch were accepted and rejected before."""
    try:
        yield
    except ProblemError as error:
        error.members |= batch.counts()
        raise
    except TooManyRejectedError:
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"more than {MAX_REJECTED_ITEMS:,} items are refused, the others were not looked at",
            **batch.counts(),
        ) from None
    except OverloadedError as error:
        raise ProblemError(
            HTTPStatus.TOO_MANY_REQUESTS, str(error), retry_after=BUSY_SECONDS, **batch.counts()
        ) from None
    except BrokerUnavailableError as error:
        log.warning("POST /status: %s", error)
        raise ProblemError(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "the Kafka broker is out of reach: send all again later, nothing counts twice",
            retry_after=RETRY_SECONDS,
            **batch.counts(),
        ) from None
