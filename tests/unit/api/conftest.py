from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aiohttp.test_utils import TestServer

from api.app import create_app
from tests.fakes import FakeGateway
from tests.http_client import TestClient
from tests.unit.api.answers import STORE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
def gateway() -> FakeGateway:
    """Return a gateway that knows one store."""
    return FakeGateway(STORE)


@pytest.fixture
async def client(gateway: FakeGateway) -> AsyncIterator[TestClient]:
    """Yield an HTTP client of the real application, which runs on the fake gateway."""
    async with TestClient(TestServer(create_app(gateway))) as client:
        yield client
