"""A store is unknown only after the workers have applied the polls before the request."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from api.stores import service as module
from api.stores.service import StorePage, StoreService
from api.stores.view import StoreView
from stream_app.contracts.stores import StoreRecord, encode_store
from stream_app.contracts.topics import STORES
from stream_app.errors import StoreNotFoundError, WorkersBehindError
from tests.fake_record import FakeRecord
from tests.unit.api.answers import STORE, UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterator


class Bench:
    """A service with a view and workers that are as far as the test says."""

    def __init__(self) -> None:
        self.view = StoreView(Path(":memory:"), 8)
        self.calls: list[str] = []
        self.behind = False
        self.made_elsewhere = False
        self.service = StoreService(
            self.view,
            read=self.read,
            read_all=self.read_all,
            applied=self.applied,
            require=lambda: None,
            send_removal=self.send_removal,
        )

    async def send_removal(self, store_id: str) -> None:
        assert store_id == STORE
        self.calls.append("send removal")

    async def applied(self) -> None:
        self.calls.append("applied")
        if self.behind:
            await asyncio.Event().wait()

    async def read_all(self) -> None:
        self.calls.append("read all")

    async def read(self) -> None:
        self.calls.append("read")
        # a worker registers what it applies
        if self.made_elsewhere or ("applied" in self.calls and not self.behind):
            self.view.on_record(FakeRecord(STORES.name, encode_store(StoreRecord(STORE))))


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.01)
    bench = Bench()
    yield bench
    bench.view.close()


async def test_a_new_store_is_found_once_the_workers_have_applied_it(bench: Bench) -> None:
    assert await bench.service.store_exists(STORE)
    assert bench.calls == ["read", "applied", "read"]
    assert await bench.service.store_exists(STORE)
    assert bench.calls == ["read", "applied", "read", "read"], "a known store needs no worker"
    assert not await bench.service.store_exists(UNKNOWN)


async def test_a_known_store_is_read_again_without_the_workers(bench: Bench) -> None:
    await bench.service.store_exists(STORE)
    bench.calls.clear()
    bench.behind = True
    assert await bench.service.get(STORE)
    assert bench.calls == ["read"]


async def test_a_store_that_another_process_made_is_found_without_the_workers(
    bench: Bench,
) -> None:
    bench.behind = bench.made_elsewhere = True
    assert await bench.service.get(STORE)
    assert bench.calls == ["read"]


async def test_a_page_waits_for_the_workers(bench: Bench) -> None:
    assert await bench.service.page("", "", 10) == StorePage([STORE], has_more=False)
    assert bench.calls == ["applied", "read"]


async def test_workers_that_are_behind_are_an_error(bench: Bench) -> None:
    bench.behind = True
    with pytest.raises(WorkersBehindError, match="is not known yet"):
        await bench.service.store_exists(STORE)
    with pytest.raises(WorkersBehindError, match="is not known yet"):
        await bench.service.get(STORE)
    with pytest.raises(WorkersBehindError, match="not all stores are known yet"):
        await bench.service.page("", "", 10)


async def test_a_store_that_another_process_removed_is_not_known_here_any_more(
    bench: Bench,
) -> None:
    await bench.service.store_exists(STORE)

    async def read() -> None:
        bench.view.on_record(FakeRecord(STORES.name, None, key=STORE.encode()))

    bench.service._read = read
    assert not await bench.service.store_exists(STORE)
    with pytest.raises(StoreNotFoundError, match="1 of the stores are unknown"):
        await bench.service.require_all([STORE])
    with pytest.raises(StoreNotFoundError):
        await bench.service.get(STORE)


async def test_a_removal_is_sent_and_waits_for_the_workers_and_for_every_view(
    bench: Bench,
) -> None:
    await bench.service.require(STORE)
    bench.calls.clear()
    await bench.service.remove(STORE)
    assert bench.calls == ["read", "send removal", "applied", "read all"]

    bench.behind = True
    with pytest.raises(WorkersBehindError, match=r"the removal of store .* is recorded"):
        await bench.service.remove(STORE)


async def test_a_store_that_does_not_exist_is_not_removed(bench: Bench) -> None:
    with pytest.raises(StoreNotFoundError, match="is unknown"):
        await bench.service.remove(UNKNOWN)
    assert "send removal" not in bench.calls
