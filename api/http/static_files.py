"""Static files of a folder as answers, with an ETag.

Their headers let a browser load and call nothing but this server, and run no script or style but
these files.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from aiohttp import ETag, web

from api.http.problems import ProblemError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "font-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)

HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    # stored by the browser, and checked at each use: after an update no page runs an old script
    "Cache-Control": "no-cache",
}

CONTENT_TYPES: Final = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
"""Content types by the ending of a name: the table of a machine may have others."""


@dataclass(frozen=True)
class Asset:
    """A file of the page, and the ETag of its content."""

    content: bytes
    content_type: str
    etag: str


def load(folder: Path) -> dict[str, Asset]:
    """Return the files of a folder by name."""
    assets = {}
    for path in sorted(folder.iterdir()):
        if not path.is_file():
            continue
        content = path.read_bytes()
        etag = hashlib.sha256(content).hexdigest()[:32]
        assets[path.name] = Asset(content, CONTENT_TYPES[path.suffix], etag)
    return assets


def file_of_page(files: Mapping[str, Path], name: str) -> Path:
    """Return the file of a page that has a name.

    Raises:
        ProblemError: the page has no such file.
    """
    if name not in files:
        raise ProblemError(HTTPStatus.NOT_FOUND, f"no such file of the page: {name[:60]!r}")
    return files[name]


def named_asset_response(request: web.Request, assets: Mapping[str, Asset]) -> web.Response:
    """Answer with the file that a request's path names.

    Raises:
        HTTPNotFound: it is not among them.
    """
    asset = assets.get(request.match_info["name"])
    if asset is None:
        raise web.HTTPNotFound
    return asset_response(request, asset)


def asset_response(request: web.Request, asset: Asset) -> web.Response:
    """Answer with a file, or with 304 if the browser has the same file already."""
    known = request.if_none_match or ()
    if any(etag.value in ("*", asset.etag) for etag in known):
        response = web.Response(status=HTTPStatus.NOT_MODIFIED, headers=HEADERS)
    else:
        response = web.Response(
            body=asset.content,
            content_type=asset.content_type,
            charset="utf-8",
            headers=HEADERS,
        )
    response.etag = ETag(asset.etag)
    return response
