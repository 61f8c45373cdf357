"""aiohttp's client of a test server, with its type parameters filled in."""

from __future__ import annotations

from typing import TypeAlias

from aiohttp import test_utils, web

TestClient: TypeAlias = test_utils.TestClient[web.Request, web.Application]
