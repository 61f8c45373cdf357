"""Parameters of a request's query."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar

from stream_app.contracts.records import shown
from stream_app.domain.instants import parse_instant
from stream_app.errors import RecordError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp import web

_Name = TypeVar("_Name", bound=str)


def known_only(request: web.Request, *names: str) -> None:
    """Refuse parameters that mean nothing here: a misspelt one must not be ignored.

    Raises:
        RecordError: there is one.
    """
    unknown = sorted(set(request.query) - set(names))
    if unknown:
        *most, last = names or ("none",)
        known = f"{', '.join(most)} and {last}" if most else last
        raise RecordError(f"unknown parameters: {shown(', '.join(unknown))}; known are {known}")


def whole_number(request: web.Request, name: str, default: int, most: int) -> int:
    """A number from 1 on.

    Raises:
        RecordError: it is no such number.
    """
    text = request.query.get(name)
    if text is None:
        return default
    if not re.fullmatch(r"[0-9]{1,9}", text) or not 1 <= int(text) <= most:
        raise RecordError(f"{name} is not 1 to {most}: {shown(text)}")
    return int(text)


def one_of(request: web.Request, name: str, known: Sequence[_Name]) -> _Name:
    """One of some names; the first one where none is said.

    Raises:
        RecordError: it is none of them.
    """
    text = request.query.get(name)
    if not text:
        return known[0]
    return _known(name, text, known)


def several_of(request: web.Request, name: str, known: Sequence[_Name]) -> tuple[_Name, ...]:
    """Some of some names, with commas between or said more than once; empty: none is said.

    Raises:
        RecordError: one is none of them.
    """
    told = [text.strip() for part in request.query.getall(name, []) for text in part.split(",")]
    return tuple(dict.fromkeys(_known(name, text, known) for text in told if text))


def _known(name: str, text: str, known: Sequence[_Name]) -> _Name:
    for candidate in known:
        if candidate == text.lower():
            return candidate
    raise RecordError(f"{name} is not one of {', '.join(known)}: {shown(text)}")


def instant(request: web.Request, name: str) -> int | None:
    """An instant in µs; None where none is said.

    Raises:
        RecordError: it is no instant.
    """
    text = request.query.get(name)
    if not text:
        return None
    try:
        return parse_instant(text)
    except RecordError as error:
        raise RecordError(f"{name}: {error}") from None
