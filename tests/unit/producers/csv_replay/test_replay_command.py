from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from click.testing import CliRunner

from stream_app.cli.replay import replay
from stream_app.errors import BrokerUnavailableError, StoreUptimeError

if TYPE_CHECKING:
    import pytest

SAMPLE = Path(__file__).parents[4] / "data"


def test_a_replay_without_files_is_a_usage_error() -> None:
    result = CliRunner().invoke(replay, [])
    assert result.exit_code == 2
    assert "nothing to send" in result.output


def test_a_wrong_file_is_an_error_before_a_broker_is_looked_for(tmp_path: Path) -> None:
    arguments = ["--from", str(SAMPLE), "--status", "none.csv", "--data-dir", str(tmp_path)]
    result = CliRunner().invoke(replay, arguments)
    assert isinstance(result.exception, StoreUptimeError)
    assert str(result.exception) == "none.csv: cannot be read: No such file or directory"
    assert result.stdout == ""


def test_the_error_without_a_broker_says_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STORE_UPTIME_KAFKA_BOOTSTRAP", raising=False)
    arguments = ["--from", str(SAMPLE), "--data-dir", str(tmp_path)]
    result = CliRunner().invoke(replay, arguments)
    assert isinstance(result.exception, BrokerUnavailableError)
    assert f"none was started from {tmp_path}" in str(result.exception)


def test_help_names_the_exit_codes() -> None:
    text = " ".join(CliRunner().invoke(replay, ["--help"]).output.split())
    assert "5: the same, but every row of a file, or all hours of a store, were rejected" in text
