"""Answers that are no errors: JSON, and SVG pictures."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import orjson
from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Mapping

PICTURE_SECONDS: Final = 60
"""Seconds for which a browser may show a picture again; its figures may be as old anyway."""


def json_response(
    content: object,
    status: HTTPStatus = HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """Answer with JSON; `response_headers` forbids that it is cached."""
    return web.Response(
        status=status,
        body=orjson.dumps(content),
        content_type="application/json",
        headers=headers,
    )


def accepted(content: object, headers: Mapping[str, str] | None = None) -> web.Response:
    """Answer 202 with JSON."""
    return json_response(content, HTTPStatus.ACCEPTED, headers)


def svg_response(svg: str) -> web.Response:
    """Answer with a picture, which no browser treats as a page with scripts."""
    return web.Response(
        text=svg,
        content_type="image/svg+xml",
        charset="utf-8",
        headers={
            "Cache-Control": f"public, max-age={PICTURE_SECONDS}",
            "Content-Security-Policy": "default-src 'none'",
            "X-Content-Type-Options": "nosniff",
        },
    )
