"""Headers of every answer, whatever it is about."""

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

KEPT = ("/", "/store/", "/assets/", "/docs", "/badges/", "/public/assets/", "/public/badges/")
"""Pages, their files, and pictures: what a browser may keep for a while, or ask for again."""


def check(response: ClientResponse, *, may_be_kept: bool) -> None:
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Server"] == "store-uptime"
    cached = response.headers["Cache-Control"]
    assert cached == "no-store" or (may_be_kept and response.status < 400), cached


@pytest.mark.parametrize(("method", "path"), [*API_ROUTES, ("GET", "/nope"), ("PUT", "/fleet")])
async def test_of_the_api(client: TestClient, gateway: FakeGateway, method: str, path: str) -> None:
    gateway.poll(STORE, 1_710_072_000_000_000, active=True)
    for headers in ({}, {"Host": "evil.example"}, {"Content-Encoding": "rot13"}):
        async with client.request(method, path, headers=headers) as response:
            may_be_kept = path in ("/", "/public/") or path.startswith(KEPT[1:])
            check(response, may_be_kept=may_be_kept)


@pytest.mark.parametrize(("method", "path"), [*PUBLIC_ROUTES, ("GET", "/nope"), ("PUT", "/")])
async def test_of_the_status_page(gateway: FakeGateway, method: str, path: str) -> None:
    async with (
        TestClient(TestServer(public_site(gateway.public_status, gateway.settings))) as client,
        client.request(method, path) as response,
    ):
        check(response, may_be_kept=path == "/" or path.startswith(KEPT[1:]))
