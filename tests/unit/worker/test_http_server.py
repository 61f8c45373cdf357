"""The worker's own HTTP server answers for metrics and health checks."""

from __future__ import annotations

import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from stream_app.errors import PrerequisiteError
from stream_app.local.run_file import ADDRESS_FILE
from stream_app.worker.http_server import WorkerServer
from stream_app.worker.metrics import ChangelogLag, Unacknowledged, WorkerMetrics, WorkerSources
from tests.agent_fakes import settings_with

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


class Worker:
    def __init__(self, folder: Path, **overrides: Any) -> None:
        self.looks = 0
        self.metrics = WorkerMetrics()
        self.file = folder / ADDRESS_FILE
        self.topics_trouble: str | None = None
        self.server = WorkerServer(
            settings_with(**overrides),
            folder,
            self.metrics,
            self._update_metrics,
            lambda: self.topics_trouble,
        )

    async def _update_metrics(self) -> None:
        self.looks += 1

    @asynccontextmanager
    async def running(self) -> AsyncIterator[aiohttp.ClientSession]:
        await self.server.start()
        try:
            async with aiohttp.ClientSession(self.file.read_text()) as session:
                yield session
        finally:
            await self.server.stop()


async def test_metrics_are_measured_when_they_are_requested(tmp_path: Path) -> None:
    worker = Worker(tmp_path)
    async with worker.running() as session:
        assert worker.looks == 0
        async with session.get("/metrics") as response:
            assert response.status == 200
            assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
            assert "store_uptime_rebalances_total 0.0" in await response.text()
        assert worker.looks == 1


async def test_a_worker_is_alive_before_partitions_are_assigned(tmp_path: Path) -> None:
    async with Worker(tmp_path).running() as session, session.get("/healthz") as response:
        assert response.status == 200
        assert await response.json() == {"status": "ok"}


async def test_not_ready_says_how_far_the_restores_are_until_all_partitions_are_owned(
    tmp_path: Path,
) -> None:
    worker = Worker(tmp_path)
    worker.metrics.read_from(
        WorkerSources(
            dict, lambda: 0, lambda: Unacknowledged(0, 0), lambda: {2: ChangelogLag(5, 15)}
        )
    )
    worker.metrics.assigned({1, 2})
    worker.metrics.owned({1})
    async with worker.running() as session:
        async with session.get("/readyz") as response:
            assert response.status == 503
            assert response.headers["Retry-After"] == "5"
            assert response.content_type == "application/problem+json"
            assert (await response.json())["detail"] == (
                "1 of 2 partitions are not owned yet: partition 2 has restored 5 of 20 changelog "
                "records"
            )
        worker.metrics.owned({1, 2})
        async with session.get("/readyz") as response:
            assert response.status == 200
            assert await response.json() == {"status": "ready"}


async def test_a_worker_is_not_ready_while_a_topic_has_a_wrong_setting(tmp_path: Path) -> None:
    worker = Worker(tmp_path)
    worker.metrics.assigned({1})
    worker.metrics.owned({1})
    worker.topics_trouble = "stores: cleanup.policy is delete, must be compact"
    async with worker.running() as session:
        async with session.get("/readyz") as response:
            assert response.status == 503
            assert (await response.json())["detail"] == worker.topics_trouble
        worker.topics_trouble = None
        async with session.get("/readyz") as response:
            assert response.status == 200


async def test_two_workers_of_one_machine_take_a_free_port_each(tmp_path: Path) -> None:
    folders = (tmp_path / "one", tmp_path / "two")
    for folder in folders:
        folder.mkdir()
    one, two = map(Worker, folders)
    async with one.running(), two.running():
        assert one.file.read_text() != two.file.read_text()
        assert one.file.read_text().startswith("http://127.0.0.1:")


async def test_a_worker_that_has_stopped_leaves_no_address(tmp_path: Path) -> None:
    worker = Worker(tmp_path)
    async with worker.running():
        assert worker.file.exists()
    assert not worker.file.exists()


async def test_a_port_that_is_in_use_is_an_error_of_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        worker = Worker(tmp_path, worker_port=port)
        with pytest.raises(PrerequisiteError, match=f"cannot listen on 127.0.0.1:{port}"):
            await worker.server.start()
        await worker.server.stop()


async def test_the_delay_of_the_event_loop_is_measured_while_the_server_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream_app.metrics.DELAY_LOOK_SECONDS", 0.001)
    worker = Worker(tmp_path)
    async with worker.running() as session:
        count = 0.0
        while not count:
            async with session.get("/healthz"):
                pass
            count = (
                worker.metrics.registry.get_sample_value(
                    "store_uptime_event_loop_delay_seconds_count"
                )
                or 0
            )


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz"])
async def test_no_parameter_is_ignored(tmp_path: Path, path: str) -> None:
    worker = Worker(tmp_path)
    async with worker.running() as session:
        for query in ("?nonsense=1", "?nonsense"):
            async with session.get(path + query) as response:
                assert response.status == 422
                assert response.headers["Content-Type"].startswith("application/problem+json")
                detail = (await response.json(content_type=None))["detail"]
                assert detail == "no parameters are known here"
