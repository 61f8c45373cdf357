"""What the API answers is what its description says, tried by schemathesis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from api.app import create_app
from stream_app.contracts.shapes import EXAMPLE_STORE
from tests.conformance import bounded, check, described
from tests.fakes import FakeGateway
from tests.live_server import served

if TYPE_CHECKING:
    from collections.abc import Iterator

    import schemathesis
    from aiohttp import web

schema = described()


class Live(NamedTuple):
    address: str
    gateway: FakeGateway


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    gateways = []

    def create() -> web.Application:
        gateway: Any = FakeGateway(EXAMPLE_STORE)
        gateways.append(gateway)
        return create_app(gateway)

    with served(create) as address:
        yield Live(address, gateways[0])


@schema.parametrize()
@bounded(30)
def test_every_answer_is_as_described(case: schemathesis.Case, live: Live) -> None:
    # a key of an earlier example was used for another request
    live.gateway.reports.clear()
    check(case, live.address)
