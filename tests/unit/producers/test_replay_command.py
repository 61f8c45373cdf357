from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from stream_app.cli.replay import find_files, replay
from stream_app.errors import BrokerUnavailableError, StoreUptimeError

SAMPLE = Path(__file__).parents[3] / "data"


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).touch()
    return folder


def test_finds_the_files_of_a_folder_by_their_names(tmp_path: Path) -> None:
    touch(tmp_path, "store_status.csv", "menu_hours.csv.gz", "timezones.csv", "other.csv")
    files = find_files(tmp_path)
    assert list(files.status) == [tmp_path / "store_status.csv"]
    assert list(files.hours) == [tmp_path / "menu_hours.csv.gz"]
    assert list(files.zones) == [tmp_path / "timezones.csv"]


def test_finds_the_files_under_their_other_names(tmp_path: Path) -> None:
    files = find_files(touch(tmp_path, "store_business_hours.csv", "store_timezones.csv.gz"))
    assert (len(files.status), len(files.hours), len(files.zones)) == (0, 1, 1)


def test_finds_the_sample() -> None:
    files = find_files(SAMPLE)
    assert (len(files.status), len(files.hours), len(files.zones)) == (1, 1, 1)


def test_a_folder_with_the_same_file_twice_is_an_error(tmp_path: Path) -> None:
    touch(tmp_path, "store_status.csv", "store_status.csv.gz")
    with pytest.raises(StoreUptimeError, match=r"has store_status\.csv and store_status\.csv\.gz"):
        find_files(tmp_path)


def test_a_folder_without_any_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreUptimeError, match=r"has none of store_status\.csv"):
        find_files(tmp_path)


def test_nothing_to_send_is_a_usage_error() -> None:
    result = CliRunner().invoke(replay, [])
    assert result.exit_code == 2
    assert "nothing to send" in result.output


def test_a_wrong_file_is_told_before_a_broker_is_looked_for(tmp_path: Path) -> None:
    arguments = ["--from", str(SAMPLE), "--status", "none.csv", "--data-dir", str(tmp_path)]
    result = CliRunner().invoke(replay, arguments)
    assert isinstance(result.exception, StoreUptimeError)
    assert str(result.exception) == "none.csv: cannot be read: No such file or directory"
    assert result.stdout == ""


def test_says_how_to_get_a_broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STORE_UPTIME_KAFKA_BOOTSTRAP", raising=False)
    arguments = ["--from", str(SAMPLE), "--data-dir", str(tmp_path)]
    result = CliRunner().invoke(replay, arguments)
    assert isinstance(result.exception, BrokerUnavailableError)
    assert f"none was started from {tmp_path}" in str(result.exception)
