"""The physical limits, the distances to them, and the limit of live posts are computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest
from aiohttp.test_utils import TestClient, TestServer

from benchmarks.distances import DISTANCES, Medians, distances_section
from benchmarks.lines import http_pings, physical_limits
from benchmarks.lines.large_fleet import POLLS, records_of_stores
from benchmarks.peers.bare_aiohttp.__main__ import application
from benchmarks.registry import LINES
from benchmarks.results import Result, write_result
from stream_app.contracts.partitioning import partition_of
from stream_app.contracts.polls import decode_poll_batch
from stream_app.contracts.topics import STORE_STATUS, STORE_TIMEZONES

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.bench import Bench


def store_result(folder: Path, line: str, **figures: float) -> None:
    write_result(Result(line, line, {}, "2024-01-01T00:00:00", [figures]), folder)


def test_limits_are_measured_rates(tmp_path: Path) -> None:
    assert physical_limits.copy_rate(1 << 20) > 1 << 20
    assert physical_limits.write_rate(tmp_path, 1 << 20) > 0
    assert list(tmp_path.iterdir()) == []
    assert physical_limits.parse_seconds([b"{}"]) > 0
    with pytest.raises(orjson.JSONDecodeError):
        physical_limits.parse_seconds([b"{"])


def test_a_distance_is_the_time_divided_by_that_of_the_limit(tmp_path: Path) -> None:
    store_result(tmp_path, "limits", memory=1000, disk=100, parse_single_polls=100_000)
    store_result(tmp_path, "comparison", live_polls=200_000, live_ours_seconds=9)
    store_result(tmp_path, "kafka-pings", changelog_bytes_per_poll=500)
    # 2 s of parsing, and 100 MB to the disk in 1 s
    assert "| 300,000 single records into the state | s | 9 | 3 | 3 |" in distances_section(
        tmp_path
    )


def test_the_distance_of_a_rate_is_the_limit_divided_by_it(tmp_path: Path) -> None:
    store_result(tmp_path, "http-pings", single_mixed=5000, single_mixed_bare=20_000)
    assert "| posts/s | 5,000 | 20,000 | 4 |" in distances_section(tmp_path)


def test_a_distance_that_is_not_measured_is_named(tmp_path: Path) -> None:
    assert distances_section(tmp_path) == "Not measured yet.\n"
    store_result(tmp_path, "http-pings", single_mixed=5000, single_mixed_bare=20_000)
    assert "- one report of all 4,559 stores: not measured yet" in distances_section(tmp_path)


def test_every_figure_of_a_distance_belongs_to_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # these figures are stored with the runs and have no row
    without_row = {"polls", "input_bytes", "bulk_polls", "live_polls"}
    known = {line.name: {figure.name for figure in line.figures} | without_row for line in LINES}
    read: set[tuple[str, str]] = set()

    def median(_: Medians, line: str, figure: str) -> float:
        read.add((line, figure))
        return 1.0

    monkeypatch.setattr(Medians, "__call__", median)
    assert "not measured" not in distances_section(tmp_path)
    assert len(read) > len(DISTANCES)
    assert [pair for pair in read if pair[1] not in known[pair[0]]] == []


async def test_bare_aiohttp_answers_as_the_product_does() -> None:
    async with TestClient(TestServer(application())) as client:
        poll = {"status": "active", "timestamp_utc": "2024-01-01T00:00:00.000000Z"}
        async with client.post("/stores/7/status", data=orjson.dumps(poll)) as response:
            assert (response.status, await response.json()) == (202, {"store_id": "7"} | poll)
        async with client.post("/status", data=orjson.dumps([poll, poll])) as response:
            assert response.status == 202
            assert (await response.json())["accepted"] == 2


async def test_product_and_bare_aiohttp_are_measured_in_turns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    order: list[str] = []

    async def product(_: Bench) -> dict[str, float]:
        order.append("product")
        return dict.fromkeys(http_pings.BARE, 3.0)

    async def bare(_: Bench) -> dict[str, float]:
        order.append("bare")
        return {f"{name}_bare": 4.0 for name in http_pings.BARE}

    monkeypatch.setattr(http_pings, "_product", product)
    monkeypatch.setattr(http_pings, "_bare", bare)

    class Run:
        def __init__(self, run: int) -> None:
            self.run = run

    for run in range(2):
        figures = await http_pings.measure(Run(run))  # type: ignore[arg-type]
        assert figures["single_mixed_to_bare"] == 0.75
    assert order == ["product", "bare", "bare", "product"]


def test_generated_stores_have_a_week_of_polls_and_a_timezone_each() -> None:
    records = list(records_of_stores(20))
    polls = [(key, value) for spec, key, value in records if spec is STORE_STATUS]
    assert len(polls) == len({key for key, _ in polls}) == 20
    assert sum(spec is STORE_TIMEZONES for spec, _, _ in records) == 20
    for key, value in polls:
        batch, rejected = decode_poll_batch(value)
        assert (batch.store_id, rejected, len(set(batch.polls))) == (key.decode(), [], POLLS)
    assert records == list(records_of_stores(20))
    # every partition has stores
    assert len({partition_of(key, 8) for _, key, _ in records_of_stores(200)}) == 8
