from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from benchmarks import comparison
from benchmarks.bench import Bench
from benchmarks.comparison import Peer, TopicContent, per_poll, ratios, run_peer
from benchmarks.errors import BenchmarkError, NotRunError
from benchmarks.rotation import rotated
from tests.fakes import SETTINGS

if TYPE_CHECKING:
    from pathlib import Path

PEER = """
import argparse, json, pathlib, sys
parser = argparse.ArgumentParser()
for name in ("bootstrap", "shape", "json"):
    parser.add_argument(f"--{name}", required=True)
parser.add_argument("--records", type=int, required=True)
given = parser.parse_args()
"""


def peer(root: Path, ending: str, options: str = "") -> None:
    folder = root / "benchmarks" / "peers" / "floor"
    folder.mkdir(parents=True)
    # another package `benchmarks` than that of this repository
    (root / "benchmarks" / "__init__.py").touch()
    (folder / "__main__.py").write_text(PEER.replace("given =", f"{options}given =") + ending)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(comparison, "ROOT", tmp_path)
    return tmp_path


async def measured(root: Path) -> dict[str, float]:
    product = SimpleNamespace(settings=SETTINGS)
    bench = Bench(root / "workspace", print)
    bench.workspace.mkdir()
    return await run_peer(bench, product, "floor", "live", TopicContent(records=7, polls=9))  # type: ignore[arg-type]


async def test_a_peer_gets_its_job_and_returns_its_figures(root: Path) -> None:
    peer(
        root,
        "pathlib.Path(given.json).write_text(json.dumps("
        '{"seconds": 2.5, "read": given.records, "shape": given.shape, "correct": True}))',
    )
    assert await measured(root) == {"seconds": 2.5, "read": 7.0}


async def test_a_peer_that_cannot_run_says_what_to_install(root: Path) -> None:
    peer(
        root,
        "pathlib.Path(given.json).write_text(json.dumps("
        '{"not_run": "no server: apt install postgresql"})); sys.exit(3)',
    )
    with pytest.raises(NotRunError, match="apt install postgresql"):
        await measured(root)


async def test_a_peer_that_is_missing_is_an_error(root: Path) -> None:
    with pytest.raises(BenchmarkError, match="benchmarks/peers/floor is missing") as raised:
        await measured(root)
    # after a `NotRunError` the exit code would be 0
    assert not isinstance(raised.value, NotRunError)


async def test_a_peer_gets_its_options(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    peer(
        root,
        "pathlib.Path(given.json).write_text(json.dumps({"
        '"seconds": 1, "on": float(given.exactly_once)}))',
        'parser.add_argument("--exactly-once", action="store_true")\n',
    )
    exactly_once = Peer("", "floor", ("--exactly-once",))
    monkeypatch.setattr(comparison, "PEERS", {"floor": exactly_once})
    assert await measured(root) == {"seconds": 1, "on": 1}


def test_the_costs_of_a_poll_include_those_of_the_broker() -> None:
    broker = {"broker_cpu": 0.5, "broker_written_bytes": 600.0}
    costs = per_poll({"seconds": 1, "cpu": 2.0, "written_bytes": 400.0}, broker, polls=100)
    assert costs == broker | {"cpu_per_million": 20_000, "written_per_poll": 10}
    # a peer that does not measure its costs has no such figures
    assert per_poll({"seconds": 1}, broker, polls=100) == broker


async def test_a_peer_that_fails_is_an_error_with_its_last_line(root: Path) -> None:
    peer(root, 'sys.exit("the state is wrong")')
    with pytest.raises(BenchmarkError, match="floor ended with 1: the state is wrong"):
        await measured(root)


async def test_a_peer_without_a_result_is_an_error(root: Path) -> None:
    peer(root, "")
    with pytest.raises(BenchmarkError, match="floor ended with 0"):
        await measured(root)


def test_every_run_begins_with_another_system() -> None:
    runs = [rotated(list(comparison.WAYS), run) for run in range(len(comparison.WAYS))]
    assert [ways[0] for ways in runs] == list(comparison.WAYS)
    assert all(sorted(ways) == sorted(comparison.WAYS) for ways in runs)


def test_every_target_belongs_to_a_figure() -> None:
    targets = {
        figure.name: figure.target_min for figure in comparison.LINE.figures if figure.target_min
    }
    rates = {f"{shape}_ours_rate": rate for shape, rate in comparison.MIN_RATES.items()}
    assert targets == comparison.MIN_RATIOS | rates


def test_a_ratio_is_the_figure_of_a_peer_divided_by_ours_of_the_same_run() -> None:
    figures = {"live_ours_seconds": 2.0, "live_quix_seconds": 5.0, "bulk_floor_seconds": 1.0}
    assert dict(ratios("live", figures)) == {"live_quix_ratio": 2.5}
    figures |= {"live_polls": 6.0, "live_ours_cpu": 0.5, "live_quix_cpu": 2.0}
    assert dict(ratios("live", figures)) == {
        "live_ours_rate": 3.0,
        "live_quix_ratio": 2.5,
        "live_quix_cpu_ratio": 4.0,
    }
    assert dict(ratios("bulk", figures)) == {}
