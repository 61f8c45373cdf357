"""New stores are refused at the limit of stores, and known stores are accepted as before."""

from __future__ import annotations

import uuid
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from aiohttp.test_utils import TestServer

from api.app import create_app
from api.stores.store_limit import UNREGISTERED_SECONDS, StoreLimit
from api.stores.view import StoreView
from stream_app.contracts.stores import StoreRecord, encode_store
from stream_app.contracts.topics import STORES
from tests.fake_record import FakeRecord
from tests.fakes import SETTINGS, FakeGateway
from tests.http_client import TestClient
from tests.unit.api.answers import STORE, problem_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

IDS = [str(uuid.UUID(int=number, version=4)) for number in range(1, 60)]


class Harness:
    """A limit over a view of the stores, with a clock that a test sets."""

    def __init__(self, most: int) -> None:
        self.now = 0.0
        self.store_view = StoreView(Path(":memory:"), 8)
        self.limit = StoreLimit(self.store_view, most, lambda: self.now)

    def register(self, *store_ids: str) -> None:
        for store_id in store_ids:
            self.store_view.on_record(
                FakeRecord(STORES.name, encode_store(StoreRecord(store_id)), key=store_id.encode())
            )

    def unregister(self, store_id: str) -> None:
        self.store_view.on_record(FakeRecord(STORES.name, None, key=store_id.encode()))

    def accept(self, *store_ids: str) -> list[bool]:
        return [self.limit.why_not_writable(store_id) is None for store_id in store_ids]


def test_the_limit_counts_stores_whether_they_are_registered_yet_or_not() -> None:
    harness = Harness(4)
    harness.register(*IDS[:2], IDS[0])
    assert harness.store_view.count == 2
    assert harness.accept(*IDS[:6]) == [True, True, True, True, False, False]
    # registered stores and those accepted before are accepted again
    assert harness.accept(*IDS[:4]) == [True] * 4
    harness.register(IDS[2])
    assert harness.accept(IDS[4]) == [False]
    harness.register(IDS[3])
    assert harness.accept(IDS[4]) == [False]
    assert "STORE_UPTIME_MAX_STORES" in (harness.limit.why_not_writable(IDS[4]) or "")

    harness.unregister(IDS[0])
    harness.unregister(IDS[0])
    assert harness.store_view.count == 3
    assert harness.accept(IDS[4], IDS[5]) == [True, False]


def test_a_store_that_is_never_registered_loses_its_place() -> None:
    harness = Harness(1)
    assert harness.accept(IDS[0], IDS[1]) == [True, False]
    harness.now = UNREGISTERED_SECONDS
    assert harness.accept(IDS[1]) == [True]


def test_far_below_the_limit_no_store_is_looked_up() -> None:
    harness = Harness(2_000)
    harness.register(*IDS[:50])
    statements: list[str] = []
    harness.store_view.database.set_trace_callback(statements.append)
    assert all(harness.accept(*IDS))
    assert statements == []


@pytest.fixture
async def full() -> AsyncIterator[tuple[TestClient, FakeGateway]]:
    gateway = FakeGateway(STORE, settings=SETTINGS.replace(max_stores=1))
    async with TestClient(TestServer(create_app(gateway))) as client:
        yield client, gateway


@pytest.mark.parametrize(
    ("method", "what", "body"),
    [
        ("POST", "status", {"status": "active"}),
        ("PUT", "business_hours", {"hours": []}),
        ("PUT", "timezone", {"timezone": "UTC"}),
    ],
)
async def test_a_new_store_is_429_and_a_known_one_is_accepted(
    full: tuple[TestClient, FakeGateway], method: str, what: str, body: Any
) -> None:
    client, gateway = full
    refused = await client.request(method, f"/stores/{IDS[0]}/{what}", json=body)
    detail = await problem_of(refused, HTTPStatus.TOO_MANY_REQUESTS)
    assert "there are 1 stores already" in detail
    assert "Retry-After" not in refused.headers
    assert gateway.broker.records == []

    known = await client.request(method, f"/stores/{STORE}/{what}", json=body)
    assert known.status == HTTPStatus.ACCEPTED


async def test_polls_of_new_stores_are_refused_among_many_polls(
    full: tuple[TestClient, FakeGateway],
) -> None:
    client, gateway = full
    items = [{"store_id": store_id, "status": "active"} for store_id in (IDS[0], STORE, IDS[1])]
    response = await client.post("/status", data=orjson.dumps(items))
    assert response.status == HTTPStatus.ACCEPTED
    answer = await response.json()
    assert (answer["accepted"], answer["refused"]) == (1, 2)
    assert [item["index"] for item in answer["items"]] == [0, 2]
    assert all("is new" in item["reason"] for item in answer["items"])
    assert [store_id for store_id, _ in gateway.broker.polls()] == [STORE]
