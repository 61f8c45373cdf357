from __future__ import annotations

import inspect

import pytest
from aiohttp.test_utils import TestServer

from api.app import create_app
from api.gateway import Gateway
from api.reports.service import ReportService
from tests.fakes import FakeGateway
from tests.http_client import TestClient

PUBLIC = [
    (kind, name)
    for kind in (Gateway, ReportService)
    for name in vars(kind)
    if not name.startswith("_")
]


async def test_the_gateway_starts_and_stops_with_the_application() -> None:
    gateway = FakeGateway()
    async with TestClient(TestServer(create_app(gateway))):
        assert (gateway.started, gateway.stopped) == (1, 0)
    assert (gateway.started, gateway.stopped) == (1, 1)


@pytest.mark.parametrize(("kind", "name"), PUBLIC)
def test_the_fake_gateway_has_the_methods_of_the_real_one(kind: type, name: str) -> None:
    real, fake = getattr(kind, name), getattr(FakeGateway, name)
    assert inspect.signature(fake) == inspect.signature(real)
    assert inspect.iscoroutinefunction(fake) == inspect.iscoroutinefunction(real)
