"""Every answer has the headers of security and of caching, on every route."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aiohttp.test_utils import TestServer

from api.public.app import public_site
from tests.http_client import TestClient
from tests.unit.api.answers import STORE
from tests.unit.api.http.test_host_and_origin import API_ROUTES, PUBLIC_ROUTES

if TYPE_CHECKING:
    from aiohttp import ClientResponse

    from tests.fakes import FakeGateway

CACHEABLE = ("/", "/store/", "/assets/", "/docs", "/badges/", "/public/assets/", "/public/badges/")
"""Paths of pages, their files and pictures, which a browser may keep for a while."""


def check_headers(response: ClientResponse, *, cacheable: bool) -> None:
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Server"] == "store-uptime"
    cached = response.headers["Cache-Control"]
    assert cached == "no-store" or (cacheable and response.status < 400), cached


@pytest.mark.parametrize(("method", "path"), [*API_ROUTES, ("GET", "/nope"), ("PUT", "/fleet")])
async def test_every_answer_of_the_api_has_the_headers(
    client: TestClient, gateway: FakeGateway, method: str, path: str
) -> None:
    gateway.poll(STORE, 1_710_072_000_000_000, active=True)
    for headers in ({}, {"Host": "evil.example"}, {"Content-Encoding": "rot13"}):
        async with client.request(method, path, headers=headers) as response:
            cacheable = path in ("/", "/public/") or path.startswith(CACHEABLE[1:])
            check_headers(response, cacheable=cacheable)


@pytest.mark.parametrize(("method", "path"), [*PUBLIC_ROUTES, ("GET", "/nope"), ("PUT", "/")])
async def test_every_answer_of_the_status_page_has_the_headers(
    gateway: FakeGateway, method: str, path: str
) -> None:
    async with (
        TestClient(TestServer(public_site(gateway.public_status, gateway.settings))) as client,
        client.request(method, path) as response,
    ):
        check_headers(response, cacheable=path == "/" or path.startswith(CACHEABLE[1:]))
