"""Values of a request's query, after `described_parameters` has rejected stray ones."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar

from stream_app.contracts.fields import shown
from stream_app.domain.timestamps import parse_instant
from stream_app.errors import RecordError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp import web

_Name = TypeVar("_Name", bound=str)


def int_param(request: web.Request, name: str, default: int, maximum: int) -> int:
    """Return a number from 1 to `maximum`; `default` if the query has none.

    Raises:
        RecordError: the value is not such a number.
    """
    text = request.query.get(name)
    if text is None:
        return default
    if not re.fullmatch(r"[0-9]{1,9}", text) or not 1 <= int(text) <= maximum:
        raise RecordError(f"{name} is not 1 to {maximum}: {shown(text)}")
    return int(text)


def enum_param(request: web.Request, name: str, known: Sequence[_Name]) -> _Name:
    """Return the known name that the query has; the first known name if it has none.

    Raises:
        RecordError: the value is not a known name.
    """
    text = request.query.get(name)
    if text is None:
        return known[0]
    return _known(name, text, known)


def enum_params(request: web.Request, name: str, known: Sequence[_Name]) -> tuple[_Name, ...]:
    """Return the known names that the query has, with commas between them or in several fields.

    Raises:
        RecordError: a value is not a known name.
    """
    texts = [text.strip() for part in request.query.getall(name, []) for text in part.split(",")]
    return tuple(dict.fromkeys(_known(name, text, known) for text in texts))


def _known(name: str, text: str, known: Sequence[_Name]) -> _Name:
    for candidate in known:
        if candidate == text.lower():
            return candidate
    raise RecordError(f"{name} is not one of {', '.join(known)}: {shown(text)}")


def instant_param(request: web.Request, name: str) -> int | None:
    """Return the instant that the query has, µs; None if it has none.

    Raises:
        RecordError: the value is not an instant.
    """
    text = request.query.get(name)
    if text is None:
        return None
    try:
        return parse_instant(text)
    except RecordError as error:
        raise RecordError(f"{name}: {error}") from None
