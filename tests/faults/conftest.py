"""The fixture that starts a scenario, and the table of measurements at the end of a run."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.faults.scenario import Observation, under_load

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from tests.faults.scenario import Scenario

    UnderLoad = Callable[..., AbstractAsyncContextManager[Scenario]]

_OBSERVATIONS = pytest.StashKey[list[Observation]]()


@pytest.fixture(autouse=True)
def _quiet_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turn off the log of our own Kafka clients: they lose their broker a thousand times."""
    monkeypatch.setattr(logging.getLogger("aiokafka"), "disabled", True)
    for name in list(logging.root.manager.loggerDict):
        if name.startswith("aiokafka."):
            monkeypatch.setattr(logging.getLogger(name), "disabled", True)


@pytest.fixture
def faulty(
    tmp_path: Path, pytestconfig: pytest.Config, _no_settings_from_outside: None
) -> UnderLoad:
    """Return `under_load` with this test's folder; its observation goes to the table."""
    observations = pytestconfig.stash.setdefault(_OBSERVATIONS, [])
    return partial(under_load, data_dir=tmp_path, observed=observations.append)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the effect of each fault on a user, as a table for the page of the failure model."""
    observations = config.stash.get(_OBSERVATIONS, [])
    if not observations:
        return
    terminalreporter.section("faults survived")
    terminalreporter.line(
        "| fault | not ready | a new report was complete after | reports | failed | slowest |"
        " polls |"
    )
    terminalreporter.line("|---|---|---|---|---|---|---|")
    for seen in observations:
        terminalreporter.line(
            f"| {seen.fault} | {seen.not_ready:.1f} s | {seen.answered_after:.1f} s "
            f"| {seen.reports} | {seen.failed} | {seen.slowest:.1f} s | {seen.polls} |"
        )
