from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import click
import pytest
from click.testing import CliRunner

from stream_app.cli import simulate as simulate_module
from stream_app.cli.simulate import simulate, size
from stream_app.domain.timestamps import HOUR, MINUTE, SECOND
from stream_app.errors import StoreUptimeError

if TYPE_CHECKING:
    from pathlib import Path

    from producers.simulator.run import SimulationPlan, SimulationResult


@pytest.mark.parametrize(
    ("stores", "every", "rate", "expected"),
    [
        (None, None, None, (100, 10 * SECOND)),
        (7, None, None, (7, 10 * SECOND)),
        (None, MINUTE, None, (100, MINUTE)),
        (7, MINUTE, None, (7, MINUTE)),
        (None, None, 50.0, (500, 10 * SECOND)),
        (None, MINUTE, 50.0, (3000, MINUTE)),
        (500, None, 50.0, (500, 10 * SECOND)),
        (None, SECOND, 0.25, (1, 4 * SECOND)),
        (3, None, 1_000_000.0, (3, 3)),
    ],
)
def test_two_of_stores_interval_and_rate_fix_the_third(
    stores: int | None, every: int | None, rate: float | None, expected: tuple[int, int]
) -> None:
    assert size(stores, every, rate) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((5, SECOND, 1.0), "give two"), ((None, HOUR, 1000.0), "more than 1,000,000 stores")],
)
def test_an_impossible_size_is_a_usage_error(arguments: Any, message: str) -> None:
    with pytest.raises(click.UsageError, match=message):
        size(*arguments)


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[SimulationPlan]:
    """Return the list that gets the plan of each simulation that would run."""
    planned: list[SimulationPlan] = []

    async def run_simulation(
        plan: SimulationPlan, _settings: Any, *, result: SimulationResult, **_rest: Any
    ) -> None:
        planned.append(plan)
        result.interrupted = True

    monkeypatch.setattr(simulate_module, "run_simulation", run_simulation)
    return planned


def test_the_options_make_the_plan(plans: list[SimulationPlan], tmp_path: Path) -> None:
    path = tmp_path / "polls.csv"
    arguments = (
        f"--stores 20 --every 1m --duration 90s --seed 4 --via kafka --outages 0.5 --flapping 0 "
        f"--skewed 0.25 --late 1 --duplicates 0.125 --register --record {path} "
        f"--api http://127.0.0.1:9 --data-dir {tmp_path}"
    )
    result = CliRunner().invoke(simulate, arguments.split())
    assert result.exit_code == 0, result.output
    (plan,) = plans
    faults = plan.simulation.faults
    assert (faults.outages, faults.flapping, faults.skewed) == (0.5, 0.0, 0.25)
    assert (faults.late, faults.duplicates) == (1.0, 0.125)
    assert len(plan.simulation.store_ids) == 20
    assert plan.simulation.every == MINUTE
    assert (plan.via, plan.address) == ("kafka", "http://127.0.0.1:9")
    assert (plan.duration, plan.poll_file, plan.register) == (90 * SECOND, path, True)
    assert "20 stores, a ping every 1m each: 0.3 pings/s via kafka" in result.stderr


def test_without_options_there_are_some_faults_and_no_end(
    plans: list[SimulationPlan], tmp_path: Path
) -> None:
    result = CliRunner().invoke(simulate, ["--data-dir", str(tmp_path)])
    assert result.exit_code == 0, result.output
    (plan,) = plans
    assert (plan.via, plan.address, plan.duration) == ("http", "http://127.0.0.1:8000", None)
    assert min(plan.simulation.faults.outages, plan.simulation.faults.skewed) > 0
    assert "warning" not in result.stderr


def test_calm_has_no_faults_and_fast_stores_give_a_warning(
    plans: list[SimulationPlan], tmp_path: Path
) -> None:
    result = CliRunner().invoke(
        simulate, ["--calm", "--every", "500ms", "--data-dir", str(tmp_path)]
    )
    assert result.exit_code == 0, result.output
    faults = plans[0].simulation.faults
    assert {faults.outages, faults.flapping, faults.late} == {0}
    assert "warning: a store that pings more often than every 2s" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--every", "soon"], "not a duration such as 90s"),
        (["--duration", "0s"], "must be longer than 0"),
        (["--outages", "1.5"], "1.5 is not in the range"),
        (["--rate", "0"], "not in the range"),
        (["--stores", "0"], "not in the range"),
    ],
)
def test_a_wrong_option_is_a_usage_error(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(simulate, arguments)
    assert result.exit_code == 2
    assert message in result.output


def test_pings_without_an_answer_are_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def run_simulation(*_args: Any, **_rest: Any) -> None:
        pass

    monkeypatch.setattr(simulate_module, "run_simulation", run_simulation)
    result = CliRunner().invoke(simulate, ["--data-dir", str(tmp_path)])
    assert isinstance(result.exception, StoreUptimeError)


def test_a_simulation_without_an_api_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    result = CliRunner().invoke(simulate, ["--api", address, "--data-dir", str(tmp_path)])
    assert isinstance(result.exception, StoreUptimeError)
    assert str(result.exception).startswith(f"no store-uptime API answers at {address} (")
    assert result.stdout == ""
