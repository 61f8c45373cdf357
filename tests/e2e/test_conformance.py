"""The running product answers as its OpenAPI document says; schemathesis tries it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests

from stream_app.contracts.fields import EXAMPLE_STORE
from tests.conformance import check, load_description, with_examples
from tests.e2e.product import up

if TYPE_CHECKING:
    from collections.abc import Iterator

    import schemathesis

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

schema = load_description()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a product that knows the store of the examples, and return its address."""
    running, address = up(tmp_path_factory.mktemp("up"), "--workers", "2")
    with running:
        poll = {"status": "active"}
        answer = requests.post(f"{address}/stores/{EXAMPLE_STORE}/status", json=poll, timeout=30)
        assert answer.status_code == 202
        yield address


def test_the_product_serves_the_document_that_is_tried(address: str) -> None:
    assert requests.get(f"{address}/openapi.json", timeout=30).json() == schema.raw_schema


@schema.parametrize()
@with_examples(15)
def test_every_answer_is_as_described(case: schemathesis.Case[Any], address: str) -> None:
    check(case, address)
