"""Headers that every answer has, also one about an error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import hdrs

if TYPE_CHECKING:
    from aiohttp import web

SERVER: Final = "store-uptime"
"""The header `Server`: the name alone, since a version would tell an attacker what to try."""


async def complete_headers(_request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Add the headers that a response does not have itself, before it is sent."""
    add_headers(response)


def add_headers(response: web.StreamResponse) -> None:
    """Do what `complete_headers` does, for a response that no application prepares."""
    # a browser must not guess that figures are a page; neither it nor a proxy stores them
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault(hdrs.CACHE_CONTROL, "no-store")
    response.headers[hdrs.SERVER] = SERVER
