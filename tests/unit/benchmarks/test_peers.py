"""The checks of peers take a sample, compare it, and write result files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.comparison import PEERS
from benchmarks.inputs import ROOT, STORES, store_ids
from benchmarks.peers import job as module
from benchmarks.peers.job import Job, check, is_checked

STORE = "00000000-0000-4000-8000-000000000112"
OTHER = "00000000-0000-4000-8000-000000000000"


def a_job(output: Path = Path("unused")) -> Job:
    return Job("127.0.0.1:9", "live", 3, output)


@pytest.fixture
def expected_polls(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[int]]:
    expected_polls = {STORE: [2, 5, 9]}

    async def sampled_polls(_: Job) -> dict[str, list[int]]:
        return expected_polls

    monkeypatch.setattr(module, "sampled_polls", sampled_polls)
    return expected_polls


def test_the_sample_is_about_a_fortieth_of_the_stores_and_always_the_same() -> None:
    sampled = [store for store in store_ids(STORES) if is_checked(store)]

    assert 90 < len(sampled) < 160
    # peers in other languages compute the same CRC-32
    assert is_checked(STORE)
    assert not is_checked(OTHER)


@pytest.mark.usefixtures("expected_polls")
def test_equal_sets_in_any_order_are_right() -> None:
    assert check(a_job(), {STORE: [9, 2, 5], OTHER: [1]}) == 1


@pytest.mark.usefixtures("expected_polls")
@pytest.mark.parametrize("result", [{}, {STORE: [2, 5]}, {STORE: [2, 5, 8]}, {STORE: [2, 5, 9, 9]}])
def test_a_set_that_differs_ends_the_peer(result: dict[str, list[int]]) -> None:
    with pytest.raises(SystemExit, match="1 of 1 checked stores differ"):
        check(a_job(), result)


def test_a_check_without_a_store_fails(expected_polls: dict[str, list[int]]) -> None:
    expected_polls.clear()
    with pytest.raises(SystemExit, match="0 of 0"):
        check(a_job(), {})


def test_a_run_writes_its_figures_or_the_reason_why_it_cannot_run(tmp_path: Path) -> None:
    done, missing = a_job(tmp_path / "done.json"), a_job(tmp_path / "missing.json")
    done.write_figures(1.5, 121, cpu=1.25)
    missing.write_not_run("apt install it")

    def written(name: str) -> Any:
        return json.loads((tmp_path / name).read_text())

    assert written("done.json") == {"seconds": 1.5, "checked_stores": 121, "cpu": 1.25}
    assert written("missing.json") == {"not_run": "apt install it"}


@pytest.mark.parametrize("package", sorted({peer.package for peer in PEERS.values()}))
def test_every_peer_has_all_its_files(package: str) -> None:
    folder = ROOT / "benchmarks" / "peers" / package

    assert (folder / "__main__.py").exists()
    if (folder / "app.py").exists():
        lock = (folder / "requirements.lock").read_text()
        assert "--hash=sha256:" in lock
    if package != "floor":
        assert (folder / "README.md").exists()
