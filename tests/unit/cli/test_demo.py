"""The demo chooses its folder and its port, and names what keeps it from starting."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from stream_app.cli import demo as demo_module
from stream_app.cli.demo import demo_port, state_folder
from stream_app.cli.program_name import command_line
from stream_app.cli.sample import FILES, first_stores, sample_folder
from stream_app.errors import PrerequisiteError
from stream_app.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

SETTINGS = Settings.from_environment({})


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def used_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_a_demo_that_stays_up_uses_the_usual_port(lines: list[str]) -> None:
    settings = SETTINGS.replace(api_port=free_port())
    assert demo_port(settings, {}, keep=True, report=lines.append) == settings.api_port
    assert lines == []


def test_a_demo_that_stays_up_says_that_the_usual_port_is_in_use(
    lines: list[str], used_port: int
) -> None:
    settings = SETTINGS.replace(api_port=used_port)
    assert demo_port(settings, {}, keep=True, report=lines.append) == 0
    (line,) = lines
    assert f"port {used_port} is in use" in line


@pytest.mark.parametrize("keep", [True, False])
def test_a_named_port_is_used(lines: list[str], used_port: int, keep: bool) -> None:
    """A named port that is in use is refused later, by the start of the API."""
    settings = SETTINGS.replace(api_port=used_port)
    environment = {"STORE_UPTIME_API_PORT": str(used_port)}
    assert demo_port(settings, environment, keep=keep, report=lines.append) == used_port


def test_a_demo_that_ends_leaves_the_usual_port_alone(lines: list[str]) -> None:
    assert demo_port(SETTINGS, {}, keep=False, report=lines.append) == 0


def test_a_second_demo_uses_the_folder_again(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    for _ in range(2):
        with state_folder(folder) as used:
            assert used == folder
            (folder / "kafka").mkdir(exist_ok=True)


def test_the_sample_is_not_mixed_into_other_data(tmp_path: Path) -> None:
    (tmp_path / "kafka").mkdir()
    with (
        pytest.raises(PrerequisiteError, match="holds data already") as error,
        state_folder(tmp_path),
    ):
        pass
    assert "--data-dir" in str(error.value)
    assert len(str(error.value).splitlines()) == 1
    assert [each.name for each in tmp_path.iterdir()] == ["kafka"]


def test_a_folder_that_cannot_be_created_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    for folder in (tmp_path / "state", tmp_path / "state" / "below"):
        with (
            pytest.raises(PrerequisiteError, match="cannot create the folder"),
            state_folder(folder),
        ):
            pass


def test_a_folder_that_cannot_be_written_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # root may write everywhere: the answer is that for another user
    monkeypatch.setattr(os, "access", lambda *_: False)
    with (
        pytest.raises(PrerequisiteError, match="cannot write in the folder"),
        state_folder(tmp_path),
    ):
        pass


def test_a_folder_on_a_full_disk_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "touch", full)
    with (
        pytest.raises(PrerequisiteError, match=r"cannot use the folder .*No space left"),
        state_folder(tmp_path),
    ):
        pass


def test_a_full_disk_for_temporary_folders_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryDirectory", full)
    with (
        pytest.raises(PrerequisiteError, match=r"No space left on device.*TMPDIR"),
        state_folder(None),
    ):
        pass


def test_a_temporary_folder_is_removed() -> None:
    with state_folder(None) as folder:
        (folder / "kafka").mkdir()
    assert not folder.exists()


def test_missing_sample_data_is_named(tmp_path: Path) -> None:
    result = CliRunner().invoke(demo_module.demo, ["--data", str(tmp_path)])
    assert isinstance(result.exception, PrerequisiteError)
    assert all(name in str(result.exception) for name in FILES)


def test_the_sample_has_stores_for_the_demo() -> None:
    stores = first_stores(sample_folder(), 8)
    assert len(set(stores)) == 8
    assert stores[0] == "97dd66d5-660c-48eb-8b5a-792c529ec4dd"


def test_a_command_is_printed_as_it_was_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / ".venv/bin/store-uptime"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/nowhere")

    monkeypatch.setattr(sys, "argv", [".venv/bin/store-uptime", "demo"])
    assert command_line("report", "a b") == ".venv/bin/store-uptime report 'a b'"
    monkeypatch.setattr(sys, "argv", [str(program), "demo"])
    assert command_line("up") == ".venv/bin/store-uptime up"
    monkeypatch.setenv("PATH", str(program.parent))
    assert shutil.which("store-uptime") is not None
    assert command_line("up") == "store-uptime up"
    monkeypatch.setattr(sys, "argv", ["/x/stream_app/cli/main.py", "demo"])
    assert command_line("up") == "store-uptime up"
