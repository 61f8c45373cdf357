"""Request bodies, read within limits: of size, of time, and of memory over all requests."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Self

from aiohttp import ClientError, hdrs, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestPayloadError

from api.http.content_coding import (
    ACCEPTED,
    IDENTITY,
    PIECE_BYTES,
    CodingError,
    RatioError,
    Unpacker,
)
from api.http.json_items import SLICE_BYTES
from api.http.memory_budget import MemoryBudget
from api.http.problems import RETRY_SECONDS, ProblemError
from api.http.services import service_of
from stream_app.contracts.fields import shown, validate
from stream_app.contracts.json_text import BYTE_ORDER_MARK, NotJsonError, parse_json
from stream_app.errors import OverloadedError, RecordError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

READING_BYTES: Final = 96 << 20
"""Bytes of bodies that all requests together may hold, read and parsed."""

PARSED_BYTES: Final = 24
"""Bytes of memory that a byte of JSON costs when it is parsed, at most (`{},{}`)."""

CHUNK_BYTES: Final = 256 << 10
"""Bytes of a streamed body in memory at once: more than one read returns."""

MAX_PACKED_BYTES: Final = 64 << 20
"""The largest body that comes packed, also where it unpacks to nothing. Routes bound the rest."""

IDLE_SECONDS: Final = 30.0
"""Seconds for which a client may send nothing in the middle of a body."""

WHOLE_SECONDS: Final = 600.0
"""Seconds that a client has for a whole body."""


class BodyTooLargeError(ProblemError):
    """A body is larger than its limit.

    Attributes:
        beginning: the bytes that were read, as many as the limit allows.
    """

    def __init__(self, limit: int, beginning: bytes = b"") -> None:
        self.beginning = beginning
        super().__init__(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {limit:,} bytes"
        )


class BodiesStoppingError(Exception):
    """The API stops, and the rest of a body will not be read."""


class RequestBodies:
    """The request bodies that are being read.

    Attributes:
        budget: the memory that all of them together may use.
        stopping: whether the API stops, so that no more is read.
    """

    def __init__(self, limit: int) -> None:
        self.budget = MemoryBudget(limit)
        self.stopping = False
        self._open: set[RequestBody] = set()

    def stop_reading(self) -> None:
        """Read no more: the server takes nothing from its connections once it stops."""
        self.stopping = True
        for body in self._open:
            body.cut_off()

    def opened(self, body: RequestBody) -> None:
        """Add a body that is being read."""
        self._open.add(body)

    def closed(self, body: RequestBody) -> None:
        """Remove a body that is not read any more."""
        self._open.discard(body)


class RequestBody:
    """A context in which a request's body is read and held.

    Args:
        request: the request.
        bodies: all bodies.
    """

    def __init__(self, request: web.Request, bodies: RequestBodies) -> None:
        self._request = request
        self._bodies = bodies
        self._budget = bodies.budget
        self._reserved_bytes = 0
        self._chunks: AsyncIterator[bytes] | None = None

    async def __aenter__(self) -> Self:
        self._bodies.opened(self)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._bodies.closed(self)
        self._budget.release(self._reserved_bytes)
        self._reserved_bytes = 0

    def cut_off(self) -> None:
        """Stop waiting for the rest of the body."""
        if not self._request.content.is_eof():
            self._request.content.set_exception(BodiesStoppingError())

    async def read(self, limit: int, beginning: bytes = b"") -> bytes:
        """Return the whole body, of which `beginning` has been read.

        Raises:
            BodyTooLargeError: it is larger than the limit.
            OverloadedError: the bodies of all requests hold as much as they may.
            ProblemError: it came too slowly, or not to its end.
        """
        self._reserve(len(beginning))
        data = bytearray(beginning)
        async for chunk in self.chunks():
            self._reserve(len(chunk))
            data += chunk
            if len(data) > limit:
                break
        if len(data) > limit:
            raise BodyTooLargeError(limit, bytes(data[:limit]))
        return bytes(data)

    def reserve_for_parsed(self, body: bytes) -> None:
        """Reserve the memory of a body while a slice of it is parsed.

        Raises:
            OverloadedError: the bodies of all requests hold as much as they may.
        """
        self._reserve(PARSED_BYTES * min(len(body), SLICE_BYTES))

    def try_reserve(self, amount: int) -> bool:
        """Reserve more memory; False if there is no room."""
        if not self._budget.try_acquire(amount):
            return False
        self._reserved_bytes += amount
        return True

    def reserve_for_stream(self, line_bytes: int) -> None:
        """Reserve the memory of a body that is read line by line.

        Raises:
            OverloadedError: the bodies of all requests hold as much as they may.
        """
        self._reserve(CHUNK_BYTES + line_bytes)

    def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body, or the rest of it, unpacked as it comes; other requests run in between.

        Raises:
            ProblemError: it came too slowly, not to its end, or packed in an unknown way,
                or it unpacks to too many bytes.
        """
        if self._chunks is None:
            self._chunks = self._unpacked()
        return self._chunks

    async def _unpacked(self) -> AsyncIterator[bytes]:
        unpacker = _unpacker_of(self._request)
        end = asyncio.get_running_loop().time() + WHOLE_SECONDS
        while chunk := await self._next(end):
            if unpacker is None:
                yield chunk
            else:
                for piece in _pieces(unpacker, chunk):
                    if piece:
                        yield piece
                    await asyncio.sleep(0)
                if unpacker.packed > MAX_PACKED_BYTES:
                    raise _too_large(f"the body is larger than {MAX_PACKED_BYTES:,} bytes")
            if self._request.content.at_eof():
                break
            # bytes that have come already need no wait: without this no other task would run
            await asyncio.sleep(0)
        if unpacker is not None:
            with _coding_errors():
                unpacker.flush()

    async def _next(self, end: float) -> bytes:
        """Return the next bytes as they came; empty at the end."""
        content = self._request.content
        if content.is_eof() and content.exception() is None:
            # a small body is here as a whole: without a timer it takes a fifth of the time
            return content.read_nowait(PIECE_BYTES)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(min(end, loop.time() + IDLE_SECONDS)):
                return await content.read(PIECE_BYTES)
        except TimeoutError:
            raise ProblemError(
                HTTPStatus.REQUEST_TIMEOUT,
                f"the body came too slowly: {IDLE_SECONDS:g} s without a byte, or "
                f"{WHOLE_SECONDS:g} s in all, are the most",
            ) from None
        except BodiesStoppingError:
            raise stopping() from None
        except (RequestPayloadError, HttpProcessingError, ClientError, OSError) as error:
            raise ProblemError(
                HTTPStatus.BAD_REQUEST, f"the body ended early: {type(error).__name__}"
            ) from None

    def _reserve(self, amount: int) -> None:
        if not self.try_reserve(amount):
            raise OverloadedError("too many large bodies are being read: try again in a moment")


def _unpacker_of(request: web.Request) -> Unpacker | None:
    """Return the function that unpacks a body; None if it is not packed."""
    codings = request.headers.getall(hdrs.CONTENT_ENCODING, [])
    names = [name.strip().lower() for coding in codings for name in coding.split(",")]
    packed = [name for name in names if name not in IDENTITY]
    if not packed:
        return None
    try:
        # nobody needs one coding within another
        (coding,) = packed
        return Unpacker(coding)
    except (KeyError, ValueError):
        unknown = ProblemError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"Content-Encoding {shown(', '.join(codings))} cannot be read: send {ACCEPTED}, or "
            "the body as it is",
        )
        unknown.headers["Accept-Encoding"] = ACCEPTED
        raise unknown from None


def _pieces(unpacker: Unpacker, chunk: bytes) -> Iterator[bytes]:
    with _coding_errors():
        yield from unpacker.feed(chunk)


@contextmanager
def _coding_errors() -> Iterator[None]:
    try:
        yield
    except CodingError as error:
        raise ProblemError(HTTPStatus.BAD_REQUEST, str(error)) from None
    except RatioError as error:
        raise _too_large(str(error)) from None


def _too_large(detail: str) -> ProblemError:
    return ProblemError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)


def stopping() -> ProblemError:
    """Return the answer about a body that was not read to its end because the API stops."""
    return ProblemError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "the API is stopping: send all again, nothing counts twice",
        retry_after=RETRY_SECONDS,
    )


async def read_fields(request: web.Request, limit: int, model: type[Any]) -> dict[str, Any]:
    """Return the fields of a request's body, parsed by their model; a request needs no body.

    Raises:
        OverloadedError: the bodies of all requests hold as much as they may.
        ProblemError: the body is larger than the limit, came too slowly, or is not JSON.
        RecordError: it is not a JSON object, or a field cannot be used.
    """
    async with RequestBody(request, service_of(request, RequestBodies)) as body:
        data = await body.read(limit)
    if is_empty(data):
        return {}
    content = json_in(data, "a JSON object")
    if not isinstance(content, dict):
        raise RecordError("the body is not a JSON object")
    fields: dict[str, Any] = validate(model, content)
    return fields


def is_empty(body: bytes) -> bool:
    """Return whether a body has nothing but spaces."""
    return not body.removeprefix(BYTE_ORDER_MARK).strip()


def json_in(body: bytes, expected: str) -> Any:
    """Return the JSON in a body.

    Args:
        body: the body.
        expected: the words in which the error says what the body must be.

    Raises:
        ProblemError: it is empty, or not JSON.
    """
    if is_empty(body):
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY, f"the body is empty: it must be {expected}"
        )
    try:
        return parse_json(body)
    except NotJsonError as error:
        raise ProblemError(HTTPStatus.BAD_REQUEST, f"the body is {error}") from None
