"""Every answer of the API is as its description says, in requests that schemathesis makes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from api.app import create_app
from stream_app.contracts.fields import EXAMPLE_STORE
from tests.conformance import check, load_description, with_examples
from tests.live_server import served
from tests.report_contents import NOON, AnsweringGateway

if TYPE_CHECKING:
    from collections.abc import Iterator

    import schemathesis
    from aiohttp import web

schema = load_description()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    def create() -> web.Application:
        gateway = AnsweringGateway(EXAMPLE_STORE)
        gateway.poll(EXAMPLE_STORE, NOON, active=False)
        return create_app(gateway)

    with served(create) as address:
        yield address


@schema.parametrize()
@with_examples(30)
def test_every_answer_is_as_described(case: schemathesis.Case[Any], address: str) -> None:
    check(case, address)
